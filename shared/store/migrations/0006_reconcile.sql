-- What: what the last poll of a connection's alerts came to, and how many alerts of a run nobody can tell anything of.
-- Why: whether a list is suddenly shorter, or a day was missed, can only be said beside the poll before.
-- Safe beside the running version: yes; a new table, and a column that the running version does not name.

set local lock_timeout = '2s';

create table muster.alert_poll (
    tenant         uuid not null,
    integration_id uuid not null,
    -- when the last poll that came to its end had asked, on the database's clock
    polled_at      timestamptz,
    -- agents that the last poll was shown, whatever came of it
    agents_listed  integer,
    -- open alerts that it was shown whose webhook Tactical could not deliver, and when it last tried
    undelivered    integer not null default 0,
    undelivered_at timestamptz,
    -- open alerts that it was not shown and that may be open all the same: the key does not see their device
    unverifiable   integer not null default 0,
    primary key (tenant, integration_id)
);

alter table muster.run_part add column unverifiable integer not null default 0;
