-- What: what retention needs: indexes on ages, a mark on alerts whose past was let go, when the last round began.
-- Why: what has ended is kept for a time and not for ever, and finding it must not read whole tables.
-- Safe beside the running version: yes; a new table, a new column that the running version does not name, and indexes.

set local lock_timeout = '2s';

-- One row: a round is begun by one process at a time, at most once in its interval.
create table muster.retention (
    only_row     boolean primary key default true check (only_row),
    begun_at     timestamptz,
    -- how far the walk over all alerts has come
    alert_tenant uuid,
    alert_id     uuid,
    check ((alert_tenant is null) = (alert_id is null))
);
insert into muster.retention default values;

-- Since when an alert's details and digests are gone. Its names, its stamps and its rev stay as long as its visible row
-- does: without them a late copy of a webhook would make a second row, reopen this one, or count its rev from the start.
alter table muster.alert_state add column retired_at timestamptz;
-- An alert cannot have ended before it began, so the oldest of these are all that may be due. The column changes with a new
-- incarnation only: what happens to an alert otherwise touches no index.
create index alert_state_not_retired on muster.alert_state (opening_at) where retired_at is null;
-- the names of an alert, which go with it
create index alert_key_by_alert on muster.alert_key (tenant, alert_id);

create index run_finished on muster.run (finished_at) where finished_at is not null;
create index parked_at on muster.parked (parked_at);
create index audit_at on muster.audit (at);
create index software_change_noticed on muster.software_change (noticed_at);
