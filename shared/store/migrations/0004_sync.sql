-- What: a connection's own state, sealed secrets, sites, what an agent was read as, runs and their parts, proposals to
--       merge, tokens of the operators' API, audit.
-- Why: AlgaPSA's tables have no place for any of it, and everything that is Muster's own stands in schema muster.
-- Safe beside the running version: yes; new tables, new columns that the running version does not name, and a storage
--      parameter.

set local lock_timeout = '2s';

-- ---------------------------------------------------------------- connections

-- One row per connection to Tactical, beside AlgaPSA's rmm_integrations. Its row lock is the lock of all device writes of
-- the connection: batches of a sync, a refresh and a changed mapping come one after the other, so no two of them can make
-- the same asset, and one lock record per batch is all the WAL that it costs.
create table muster.connection (
    tenant              uuid not null,
    integration_id      uuid not null,
    -- classic: GET /agents/?client=; beta: GET /beta/v1/agent/
    device_source       varchar(10) not null default 'classic' check (device_source in ('classic', 'beta')),
    -- the instance URL that the mappings are known to belong to
    confirmed_url       varchar(255),
    -- another server seems to stand behind the connection: since when, and the clients of both side by side; nothing is
    -- imported until a person has decided
    held_at             timestamptz,
    held                jsonb,
    -- a person must give a TOTP code
    code_wanted_at      timestamptz,
    -- one login at a time: whoever has it until then; and none before then (the server throttles)
    login_claimed_until timestamptz,
    login_not_before    timestamptz,
    -- the programs' own logins are paid for up to then (they have a budget: see store::connection); a person's cost nothing
    login_paid_until    timestamptz,
    -- the server refused user name and password: no program tries them again before a person has changed something
    login_refused_at    timestamptz,
    -- what the last test of the connection told
    tested_at           timestamptz,
    server_version      varchar(50),
    clients_visible     integer,
    agents_visible      integer,
    -- raised when another server stands behind the connection: what was asked of the one before must not be written
    server_epoch        bigint not null default 0,
    -- raised by each save and disconnect: what was read before is known by it to be no longer so
    revision            bigint not null default 0,
    created_at          timestamptz not null default now(),
    primary key (tenant, integration_id),
    check ((held_at is null) = (held is null))
);

-- Secrets of tenants, under AlgaPSA's names. Sealed with XChaCha20-Poly1305: nonce, then text and tag; tenant, name and
-- key id are the associated data, so that a row copied elsewhere cannot be opened.
create table muster.secret (
    tenant     uuid not null,
    name       varchar(100) not null,
    key_id     varchar(64) not null,
    sealed     bytea not null,
    updated_at timestamptz not null default now(),
    primary key (tenant, name)
);
create index secret_by_key on muster.secret (key_id);

-- Tactical's sites: the lists of agents name them by name only.
create table muster.site (
    tenant             uuid not null,
    integration_id     uuid not null,
    site_id            varchar(255) not null,
    external_client_id varchar(255) not null,
    name               text not null,
    primary key (tenant, integration_id, site_id)
);

-- ---------------------------------------------------------------- agents

alter table muster.agent
    -- Tactical's number of the client, and the site's name, where it was read last
    add column external_client_id varchar(255),
    add column site_name text,
    -- hash over all fields that seldom change, as they were read last, with the source that they were read from
    add column digest bytea,
    -- on the database's clock, before the request that told of it
    add column fetched_at timestamptz,
    -- confirmed to be gone from Tactical, since then
    add column missing_since timestamptz;
-- not led by the tenant: on a table without statistics an index that shares the primary key's first columns is taken for a
-- look-up by agent, too, and each reads the whole tenant
create index agent_by_client on muster.agent (external_client_id, tenant, integration_id);
create index agent_missing on muster.agent (tenant, integration_id) where missing_since is not null;

-- A batch of a sync moves a few adjacent columns of nearly every asset (agent_status, last_seen_at, last_rmm_sync_at). With
-- half of a page free the new versions stay on their page and no index is touched.
alter table public.assets set (fillfactor = 50);
-- an asset that AlgaPSA made is found by its agent before it has a row in muster.agent
create index muster_assets_by_device on public.assets (rmm_device_id, tenant) where rmm_device_id is not null;

-- A reinstalled agent has a new id and the serial number of one that is missing: a person decides whether both are one.
create table muster.merge_proposal (
    tenant         uuid not null,
    proposal_id    uuid not null,
    integration_id uuid not null,
    agent_id       varchar(255) not null,
    old_agent_id   varchar(255) not null,
    serial_number  text not null,
    state          varchar(10) not null default 'open' check (state in ('open', 'accepted', 'dismissed')),
    proposed_at    timestamptz not null default now(),
    decided_at     timestamptz,
    decided_by     varchar(100),
    primary key (tenant, proposal_id),
    unique (tenant, integration_id, agent_id, old_agent_id)
);

-- ---------------------------------------------------------------- runs

create table muster.run (
    tenant         uuid not null,
    run_id         uuid not null,
    integration_id uuid not null,
    -- clients | devices
    kind           varchar(20) not null,
    -- the moment that it is for: of two runs of a kind the one with the later slot is the newer
    slot           timestamptz not null,
    -- grows each time a worker takes the run over; whoever has an older one writes nothing more
    epoch          integer not null default 0,
    state          varchar(10) not null default 'queued'
                   check (state in ('queued', 'running', 'completed', 'partial', 'failed')),
    requested_by   varchar(100) not null,
    requested_at   timestamptz not null default now(),
    started_at     timestamptz,
    -- the last batch; for the display
    progressed_at  timestamptz,
    finished_at    timestamptz,
    error          text,
    primary key (tenant, run_id)
);
-- one run of a kind at a time
create unique index run_open on muster.run (tenant, integration_id, kind) where state in ('queued', 'running');
create index run_by_slot on muster.run (tenant, integration_id, kind, slot desc);

create table muster.run_part (
    tenant      uuid not null,
    run_id      uuid not null,
    -- clients; client:<number>; site:<number>[:server|:workstation]; confirm
    name        varchar(255) not null,
    -- what a person calls it: the client's name
    label       text not null,
    state       varchar(10) not null default 'open' check (state in ('open', 'done', 'failed')),
    -- grows each time the part begins anew; whoever has an older one writes nothing more
    attempt     integer not null default 0,
    expected    integer,
    -- rows of the current attempt
    seen        integer not null default 0,
    updated     integer not null default 0,
    unchanged   integer not null default 0,
    -- what all attempts did
    created     integer not null default 0,
    moved       integer not null default 0,
    missing     integer not null default 0,
    fetched_at  timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    error       text,
    primary key (tenant, run_id, name),
    foreign key (tenant, run_id) references muster.run (tenant, run_id) on delete cascade
) with (fillfactor = 70);

-- Agents that were known and not in the list of their client: missing once a second list lacks them too.
create table muster.run_candidate (
    tenant   uuid not null,
    run_id   uuid not null,
    agent_id varchar(255) not null,
    -- when the part that lacks it began: what was written of it since speaks against it
    since    timestamptz not null,
    -- its site is none that was read: it counts once all parts of this client of Tactical's are done
    of_client varchar(255),
    -- another part of that client has shown it: no candidate after all
    is_seen  boolean not null default false,
    -- no list is read that should show it: whether it is gone only its own answer tells
    is_stray boolean not null default false,
    primary key (tenant, run_id, agent_id),
    foreign key (tenant, run_id) references muster.run (tenant, run_id) on delete cascade
);

-- ---------------------------------------------------------------- the operators' API

-- Bearer tokens: 256 random bits, stored as their SHA-256.
create table muster.token (
    token_id     uuid primary key,
    -- null: every tenant
    tenant       uuid,
    name         varchar(100) not null,
    digest       bytea not null unique check (octet_length(digest) = 32),
    permissions  text[] not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

-- Who changed what; written in the transaction of the change.
create table muster.audit (
    audit_id    bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    tenant      uuid,
    actor       varchar(200) not null,
    action      varchar(100) not null,
    subject     text,
    detail      jsonb not null default '{}',
    traceparent varchar(255)
);
create index audit_by_tenant on muster.audit (tenant, audit_id);

-- An adopted database that lacks what a sync writes is refused here, as in 0001.
do $$
declare
    missing text;
begin
    with needed (relation, columns) as (values
        ('clients', 'tenant client_id client_name'),
        ('assets', 'tenant asset_id client_id asset_tag serial_number name status location asset_type updated_at '
            'rmm_provider rmm_device_id rmm_organization_id agent_status last_seen_at last_rmm_sync_at'),
        ('workstation_assets', 'tenant asset_id os_type os_version cpu_model ram_gb agent_version current_user '
            'uptime_seconds last_reboot_at lan_ip wan_ip system_info disk_usage pending_patches'),
        ('server_assets', 'tenant asset_id os_type os_version cpu_model ram_gb agent_version current_user '
            'uptime_seconds last_reboot_at lan_ip wan_ip system_info disk_usage pending_patches'),
        ('tenant_external_entity_mappings', 'tenant integration_type alga_entity_type alga_entity_id '
            'external_entity_id external_realm_id sync_status last_synced_at metadata updated_at')
    )
    select string_agg(relation || '.' || name, ', ' order by relation, name) into missing
    from needed, string_to_table(columns, ' ') name
    where not exists (
        select from pg_attribute a
        where a.attrelid = ('public.' || relation)::regclass and a.attname = name and not a.attisdropped
    );
    if missing is not null then
        raise exception 'cannot adopt this database: its tables lack %', missing;
    end if;
end
$$;
