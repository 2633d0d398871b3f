-- What: Muster's own tables: hooks and their version, outbox, parked messages, agents, findings and wishes.
-- Why: everything that is Muster's own lives in schema muster, never in AlgaPSA's tables. None of these refers to AlgaPSA's
--      tables by a foreign key: under Citus hooks and outbox stay undistributed, and a row here may outlive its owner.
-- Safe beside the running version: yes; new tables, and two triggers on AlgaPSA's that fire only when a connection is
--      switched or a tenant suspended.

set local lock_timeout = '2s';

create schema if not exists muster;

-- ---------------------------------------------------------------- hooks

-- What the gateway compares a webhook's secret with. Digests only: HMAC-SHA-256 under a pepper that is not in here.
create table muster.hook (
    tenant               uuid not null,
    integration_id       uuid not null,
    digest               bytea not null check (octet_length(digest) = 32),
    -- the secret before the last rotation, accepted until then
    previous_digest      bytea check (octet_length(previous_digest) = 32),
    previous_valid_until timestamptz,
    rotated_at           timestamptz not null default now(),
    created_at           timestamptz not null default now(),
    primary key (tenant, integration_id),
    check ((previous_digest is null) = (previous_valid_until is null))
);

-- One row, one number, raised in the transaction of each change that a gateway must see. A counter and not a sequence:
-- its row lock makes changes commit in the order of their numbers, so a reader that has seen n has seen all up to n.
create table muster.hook_version (
    only_row boolean primary key default true check (only_row),
    version  bigint not null
);
insert into muster.hook_version (version) values (1);

-- `security definer`: AlgaPSA's own role switches connections and suspends tenants, and has no rights in schema muster.
create function muster.raise_hook_version() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    raised bigint;
begin
    update muster.hook_version set version = version + 1 returning version into raised;
    -- an accelerator: who misses it reads the version within ten seconds
    perform pg_notify('muster_hook', raised::text);
    return null;
end
$$;

-- Row triggers, since a statement trigger also fires where no row changed; with conditions, since a sync that only moves
-- its stamps must neither raise the version nor wait for its lock.
create trigger hook_made after insert or delete on muster.hook
    for each row execute function muster.raise_hook_version();
create trigger hook_rotated after update on muster.hook
    for each row when (old is distinct from new)
    execute function muster.raise_hook_version();
create trigger muster_integration_switched after update on public.rmm_integrations
    for each row when (old.is_active is distinct from new.is_active)
    execute function muster.raise_hook_version();
create trigger muster_integration_gone after delete on public.rmm_integrations
    for each row execute function muster.raise_hook_version();
create trigger muster_tenant_suspended after update on public.tenants
    for each row when ((old.suspended_at is null) <> (new.suspended_at is null))
    execute function muster.raise_hook_version();

-- ---------------------------------------------------------------- outbox

-- What leaves once the transaction that wrote it has committed. Rows are deleted after the broker's confirm.
create table muster.outbox (
    outbox_id     bigint generated always as identity primary key,
    tenant        uuid not null,
    exchange      varchar(255) not null,
    routing_key   varchar(255) not null,
    kind          varchar(255) not null,
    message_id    varchar(255) not null,
    -- guards against a second row only while this one stands; that a message is written once is the writer's own promise
    dedup         text not null unique,
    body          bytea not null,
    traceparent   varchar(255),
    available_at  timestamptz not null default now(),
    -- a relay has it until then
    claimed_until timestamptz,
    created_at    timestamptz not null default now()
) with (
    -- a claim updates the row in its page (claimed_until has no index on purpose)
    fillfactor = 70,
    -- rows live for milliseconds: the dead ones at the head of the index are what makes a claim slow
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- ---------------------------------------------------------------- parked messages

-- Messages that nobody could work on, for people to look at. The body is untouched.
create table muster.parked (
    parked_id          bigint generated always as identity primary key,
    -- hash over the whole delivery: a redelivery from the landing queue is the same row
    dedup              varchar(64) not null unique,
    tenant             uuid,
    kind               text,
    message_id         text,
    class              varchar(50) not null,
    reason             text not null,
    attempt            integer not null,
    worker_version     varchar(100) not null,
    state              varchar(10) not null default 'parked' check (state in ('parked', 'held')),
    exchange           text not null,
    routing_key        text not null,
    queue              text,
    headers            jsonb not null,
    body               bytea not null,
    traceparent        text,
    first_published_at timestamptz,
    parked_at          timestamptz not null default now()
);
create index parked_by_tenant on muster.parked (tenant, parked_id);

-- ---------------------------------------------------------------- agents

-- Tactical's agents: which asset each one is, and when it is to be read next.
create table muster.agent (
    tenant             uuid not null,
    integration_id     uuid not null,
    agent_id           varchar(255) not null,
    asset_id           uuid,
    -- a refresh is wanted from then on; null: none is pending
    refresh_due_at     timestamptz,
    last_refresh_at    timestamptz,
    -- whoever takes a refresh sets it 30 s ahead; a stamp and no arithmetic, so that noting a wish needs none
    refresh_not_before timestamptz,
    first_seen_at      timestamptz not null default now(),
    primary key (tenant, integration_id, agent_id)
);
create index agent_by_asset on muster.agent (tenant, asset_id) where asset_id is not null;
create index agent_refresh_due on muster.agent (refresh_due_at) where refresh_due_at is not null;

-- ---------------------------------------------------------------- what a connection's webhooks told about it

-- Mistakes in an operator's template, one row per kind of mistake.
create table muster.webhook_finding (
    tenant         uuid not null,
    integration_id uuid not null,
    finding        varchar(50) not null,
    first_seen_at  timestamptz not null,
    last_seen_at   timestamptz not null,
    seen_count     bigint not null,
    primary key (tenant, integration_id, finding)
);

-- A webhook that could not name its alert asks for a reconciliation; null once one has begun.
create table muster.reconcile_wish (
    tenant         uuid not null,
    integration_id uuid not null,
    wished_at      timestamptz,
    primary key (tenant, integration_id)
);
