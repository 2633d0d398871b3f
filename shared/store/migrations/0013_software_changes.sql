-- What: an index over the history of software by time.
-- Why: `since` otherwise reads a tenant's history to its end wherever a page is not full.
-- Safe beside the running version: yes, but whoever writes changes of software waits while the index is built: some seconds
--      for ten million changes. (0007 says of its index on asset_software that it is safe, and it is; there it is AlgaPSA's
--      writers of that table, too, that wait for as long.)

set local lock_timeout = '2s';

create index software_change_by_time on muster.software_change (tenant, noticed_at desc, change_id desc);
