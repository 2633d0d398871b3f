-- What: since when a look at the alerts of the last day is wanted.
-- Why: it comes after everything else that a poll does and may fail by itself; the next poll then still knows of it.
-- Safe beside the running version: yes; a column that the running version does not name. `unverifiable` is written by the
--      running version alone, and stays for it: the parts of the runs say the same.

set local lock_timeout = '2s';

-- alerts may have opened and closed unseen: when a poll noticed that; null: none is wanted
alter table muster.alert_poll add column backfill_wanted_at timestamptz;
