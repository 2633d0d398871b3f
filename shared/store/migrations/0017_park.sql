-- What: who is paused, and indexes for working on parked and held messages.
-- Why: a paused tenant's or kind's messages wait in muster.parked with state 'held'; whoever holds one locks the pause that
--      it is held by, so that a resume finds every message that was held.
-- Safe beside the running version: yes; a new table that the running version does not name, and two indexes on a small table.

set local lock_timeout = '2s';

-- In force while resumed_at is null. Ended ones stay: from the last end on, the parks of a kind are counted anew.
create table muster.pause (
    pause_id   bigint generated always as identity primary key,
    -- null: every tenant
    tenant     uuid,
    -- null: every kind
    kind       varchar(255),
    -- person | parks: too many messages of the kind were parked within a minute
    cause      varchar(10) not null check (cause in ('person', 'parks')),
    paused_by  varchar(200) not null,
    paused_at  timestamptz not null default now(),
    resumed_by varchar(200),
    resumed_at timestamptz,
    check (tenant is not null or kind is not null),
    check ((resumed_at is null) = (resumed_by is null))
);
create unique index pause_in_force on muster.pause (tenant, kind) nulls not distinct where resumed_at is null;
create index pause_ended on muster.pause (kind, resumed_at) where tenant is null and resumed_at is not null;

create index pause_resumed on muster.pause (resumed_at) where resumed_at is not null;

create index parked_held on muster.parked (parked_id) where state = 'held';
create index parked_by_kind on muster.parked (kind, parked_at) where state = 'parked';
