-- What: how an alert is named and what is known of it: keys, state, counted openings, odd webhooks.
-- Why: `rmm_alerts` has AlgaPSA's columns and keeps them; what makes a shuffled, duplicated stream of webhooks and polls end
--      in the same rows needs more than they hold. store::alert tells how it is read.
-- Safe beside the running version: yes; new tables only, nothing else is touched.

set local lock_timeout = '2s';

-- Which alert a name means. Claimed before anything else, in the order of the primary key.
create table muster.alert_key (
    tenant         uuid not null,
    integration_id uuid not null,
    -- `id:<number>`, `at:<agent>|<alert_time in microseconds>`, or `dev:<agent>|<type>|<check>`
    key            varchar(300) collate "C" not null,
    alert_id       uuid not null,
    primary key (tenant, integration_id, key)
);

-- What is known of an alert: stamps that only move one way, and what follows from them. Its row lock is the alert's lock:
-- whoever writes the alert's row in rmm_alerts holds it. The defaults exist for the statement that only takes this lock.
create table muster.alert_state (
    tenant                uuid not null,
    alert_id              uuid not null,
    integration_id        uuid not null,
    -- 2 x facts + 1 where an asset is linked; grows with every change
    rev                   bigint not null default 0,
    -- distinct facts that were counted
    facts                 bigint not null default 0,
    -- the newest of them, 8 bytes each
    digests               bytea not null default '',
    -- Tactical's number, and the key that stands in for it
    number                varchar(255),
    place                 varchar(255),

    -- the newest incarnation: its alert_time and the stamps of the facts that had it
    alert_time            timestamptz,
    opened_at             timestamptz,
    resolve_said_at       timestamptz,
    absent_at             timestamptz,
    open_polled_at        timestamptz,
    -- field letter -> [rank, microseconds, value]
    details               jsonb not null default '{}',
    -- the stamps of the facts without an alert_time
    loose_opened_at       timestamptz,
    loose_resolve_said_at timestamptz,
    loose_absent_at       timestamptz,
    loose_open_polled_at  timestamptz,
    loose_details         jsonb not null default '{}',
    -- a salvaged webhook asked for a read; open while no later poll has shown the alert or its absence
    fetch_wanted_at       timestamptz,

    -- what follows from the above and is searched by; null while there is nothing to show
    external_alert_id     varchar(255) collate "C",
    agent_id              varchar(255),
    asset_id              uuid,
    dedup_key             varchar(255) collate "C",
    opening_at            timestamptz,

    -- the rev of the last flip of each sort
    opened_rev            bigint,
    updated_rev           bigint,
    resolved_rev          bigint,
    reopened_rev          bigint,

    primary key (tenant, alert_id)
) with (fillfactor = 80);

-- the openings of one dedup key in their order: an alert's occurrence is its predecessor's plus one
create index alert_state_opening
    on muster.alert_state (tenant, integration_id, dedup_key, opening_at, external_alert_id)
    where dedup_key is not null;
-- what waits for its asset
create index alert_state_unlinked
    on muster.alert_state (tenant, integration_id, agent_id)
    where asset_id is null and external_alert_id is not null;

-- One row per dedup key, for its lock: openings are renumbered by one at a time.
create table muster.alert_dedup (
    tenant           uuid not null,
    integration_id   uuid not null,
    dedup_key        varchar(255) collate "C" not null,
    renumbered_count bigint not null default 0,
    primary key (tenant, integration_id, dedup_key)
);

-- Dedup keys that an alert has left: to be renumbered by whoever comes next. Only ever appended to, so that writing one
-- waits for nobody.
create table muster.alert_recount (
    recount_id     bigint generated always as identity primary key,
    tenant         uuid not null,
    integration_id uuid not null,
    dedup_key      varchar(255) collate "C" not null
);

-- The bytes of webhooks that were odd: cut, salvaged, without a name, or from a mistaken template.
create table muster.alert_raw (
    tenant         uuid not null,
    integration_id uuid not null,
    -- the fact's own: a redelivery is the same row
    digest         bigint not null,
    received_at    timestamptz not null,
    agent_id       varchar(255) not null,
    -- cut | salvaged | truncated | hint | verbatim_event | negated_resolve | unknown_severity
    reasons        text[] not null,
    raw            bytea not null,
    primary key (tenant, integration_id, digest)
);
create index alert_raw_received on muster.alert_raw (received_at);
