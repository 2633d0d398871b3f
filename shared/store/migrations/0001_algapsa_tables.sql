-- What: the tables that AlgaPSA has, letter for letter, in schema public.
-- Why: a database that AlgaPSA made is adopted as it is; an empty one gets the same tables. Nothing of Muster's own goes
--      in here (it has schema muster, 0002), and no statement here touches a row or a column that already exists.
-- Safe beside the running version: yes; on an adopted database every `if not exists` does nothing, and the check at the
--      end only reads the catalogue.

set local lock_timeout = '2s';

create table if not exists public.tenants (
    tenant       uuid primary key,
    suspended_at timestamptz,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);

create table if not exists public.clients (
    tenant      uuid not null references public.tenants (tenant),
    client_id   uuid not null default gen_random_uuid(),
    client_name text not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (tenant, client_id)
);

create table if not exists public.rmm_integrations (
    tenant                   uuid not null references public.tenants (tenant),
    integration_id           uuid not null default gen_random_uuid(),
    provider                 varchar(50) not null,
    instance_url             varchar(255),
    is_active                boolean not null default false,
    connected_at             timestamptz,
    last_sync_at             timestamptz,
    last_full_sync_at        timestamptz,
    last_incremental_sync_at timestamptz,
    -- pending | syncing | completed | error
    sync_status              varchar(20) default 'pending',
    sync_error               text,
    -- auth_mode, alertPolling, deviceSync
    settings                 jsonb not null default '{}',
    created_at               timestamptz not null default now(),
    updated_at               timestamptz not null default now(),
    primary key (tenant, integration_id),
    unique (tenant, provider)
);

create table if not exists public.rmm_organization_mappings (
    tenant                     uuid not null,
    mapping_id                 uuid not null default gen_random_uuid(),
    integration_id             uuid not null,
    external_organization_id   varchar(255) not null,
    external_organization_name varchar(255),
    client_id                  uuid,
    auto_sync_assets           boolean default true,
    auto_create_tickets        boolean default false,
    metadata                   jsonb default '{}',
    last_synced_at             timestamptz,
    default_contact_id         uuid,
    created_at                 timestamptz not null default now(),
    updated_at                 timestamptz not null default now(),
    primary key (tenant, mapping_id),
    unique (tenant, integration_id, external_organization_id),
    foreign key (tenant, integration_id) references public.rmm_integrations (tenant, integration_id) on delete cascade,
    foreign key (tenant, client_id) references public.clients (tenant, client_id) on delete set null (client_id)
);

create table if not exists public.assets (
    tenant              uuid not null references public.tenants (tenant),
    asset_id            uuid not null default gen_random_uuid(),
    client_id           uuid not null,
    asset_tag           text not null,
    serial_number       text,
    name                text not null,
    status              text not null,
    location            text,
    attributes          jsonb,
    asset_type          text,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    rmm_provider        varchar(50),
    rmm_device_id       varchar(255),
    rmm_organization_id varchar(255),
    -- online | offline | overdue
    agent_status        varchar(20),
    last_seen_at        timestamptz,
    last_rmm_sync_at    timestamptz,
    primary key (tenant, asset_id),
    foreign key (tenant, client_id) references public.clients (tenant, client_id)
);

create table if not exists public.workstation_assets (
    tenant          uuid not null,
    asset_id        uuid not null,
    os_type         text,
    os_version      text,
    cpu_model       text,
    ram_gb          integer,
    agent_version   varchar(255),
    "current_user"  varchar(255),
    uptime_seconds  bigint,
    last_reboot_at  timestamptz,
    lan_ip          varchar(45),
    wan_ip          varchar(45),
    system_info     jsonb,
    disk_usage      jsonb,
    pending_patches integer,
    primary key (tenant, asset_id),
    foreign key (tenant, asset_id) references public.assets (tenant, asset_id) on delete cascade
);

create table if not exists public.server_assets (
    tenant          uuid not null,
    asset_id        uuid not null,
    os_type         text,
    os_version      text,
    cpu_model       text,
    ram_gb          integer,
    agent_version   varchar(255),
    "current_user"  varchar(255),
    uptime_seconds  bigint,
    last_reboot_at  timestamptz,
    lan_ip          varchar(45),
    wan_ip          varchar(45),
    system_info     jsonb,
    disk_usage      jsonb,
    pending_patches integer,
    primary key (tenant, asset_id),
    foreign key (tenant, asset_id) references public.assets (tenant, asset_id) on delete cascade
);

create table if not exists public.rmm_alerts (
    tenant                  uuid not null,
    alert_id                uuid not null default gen_random_uuid(),
    integration_id          uuid not null,
    external_alert_id       varchar(255) not null,
    external_device_id      varchar(255),
    asset_id                uuid,
    -- critical | major | moderate | minor | none
    severity                varchar(20) not null,
    priority                varchar(20),
    -- active | acknowledged | suppressed | resolved | auto_resolved
    status                  varchar(20) not null default 'active',
    source_type             varchar(50),
    alert_class             varchar(100),
    message                 text,
    device_name             text,
    ticket_id               uuid,
    triggered_at            timestamptz not null,
    resolved_at             timestamptz,
    metadata                jsonb default '{}',
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    activity_type           varchar(100),
    acknowledged_at         timestamptz,
    acknowledged_by         uuid,
    dedup_key               varchar(255),
    occurrence_count        integer not null default 1,
    last_occurrence_at      timestamptz,
    matched_rule_id         uuid,
    auto_ticket_created     boolean default false,
    suppressed_by_window_id uuid,
    primary key (tenant, alert_id),
    unique (tenant, integration_id, external_alert_id),
    foreign key (tenant, integration_id) references public.rmm_integrations (tenant, integration_id) on delete cascade,
    -- only the asset is forgotten: `on delete set null` without a column would null the tenant too, and the asset could
    -- never be deleted
    foreign key (tenant, asset_id) references public.assets (tenant, asset_id) on delete set null (asset_id)
);

create table if not exists public.tenant_external_entity_mappings (
    id                 uuid not null default gen_random_uuid(),
    tenant             uuid not null,
    integration_type   varchar(50) not null,
    alga_entity_type   varchar(50) not null,
    alga_entity_id     varchar(255) not null,
    -- the agent's id
    external_entity_id varchar(255) not null,
    -- Tactical's number of the client
    external_realm_id  varchar(255),
    sync_status        varchar(20) default 'synced',
    last_synced_at     timestamptz,
    -- site_id, site_name
    metadata           jsonb,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    primary key (tenant, id),
    unique (tenant, integration_type, alga_entity_type, alga_entity_id)
);

create table if not exists public.software_catalog (
    software_id          uuid not null default gen_random_uuid(),
    tenant               uuid not null,
    name                 varchar(500) not null,
    publisher            varchar(255),
    normalized_name      varchar(500) not null,
    category             varchar(100),
    software_type        varchar(50),
    is_managed           boolean default false,
    is_security_relevant boolean default false,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    primary key (tenant, software_id),
    unique (tenant, normalized_name, publisher)
);

create table if not exists public.asset_software (
    tenant         uuid not null,
    asset_id       uuid not null,
    software_id    uuid not null,
    version        varchar(100),
    install_date   date,
    install_path   text,
    size_bytes     bigint,
    first_seen_at  timestamptz not null default now(),
    last_seen_at   timestamptz not null default now(),
    is_current     boolean not null default true,
    uninstalled_at timestamptz,
    primary key (tenant, asset_id, software_id),
    foreign key (tenant, asset_id) references public.assets (tenant, asset_id) on delete cascade,
    foreign key (tenant, software_id) references public.software_catalog (tenant, software_id) on delete cascade
);

-- The one unique index that is not a plain constraint; an adopted database has it under a name that we do not know.
do $$
begin
    if not exists (
        select from pg_index i
        where i.indrelid = 'public.tenant_external_entity_mappings'::regclass
          and i.indisunique and pg_get_indexdef(i.indexrelid) ilike '%external_entity_id, coalesce(external_realm_id%'
    ) then
        create unique index tenant_external_entity_mappings_external
            on public.tenant_external_entity_mappings
            (tenant, integration_type, alga_entity_type, external_entity_id, coalesce(external_realm_id, ''));
    end if;
end
$$;

-- An adopted database that lacks what our statements name is refused here, in one sentence and as a whole, instead of
-- failing later one message at a time.
do $$
declare
    missing text;
begin
    with needed (relation, columns) as (values
        ('tenants', 'tenant suspended_at'),
        ('clients', 'tenant client_id client_name'),
        ('rmm_integrations', 'tenant integration_id provider instance_url is_active connected_at last_sync_at '
            'last_full_sync_at sync_status sync_error settings updated_at'),
        ('rmm_organization_mappings', 'tenant mapping_id integration_id external_organization_id '
            'external_organization_name client_id auto_sync_assets metadata last_synced_at updated_at'),
        ('rmm_alerts', 'tenant alert_id integration_id external_alert_id external_device_id asset_id severity status '
            'source_type alert_class message device_name triggered_at resolved_at metadata updated_at activity_type '
            'acknowledged_at dedup_key occurrence_count last_occurrence_at'),
        ('assets', 'tenant asset_id client_id asset_tag serial_number name status location asset_type updated_at '
            'rmm_provider rmm_device_id rmm_organization_id agent_status last_seen_at last_rmm_sync_at'),
        ('tenant_external_entity_mappings', 'tenant integration_type alga_entity_type alga_entity_id '
            'external_entity_id external_realm_id sync_status last_synced_at metadata')
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
