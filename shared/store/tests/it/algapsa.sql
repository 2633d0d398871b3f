-- A database as an AlgaPSA installation has it: the columns of the contract, some of AlgaPSA's own beside them, other
-- names of constraints, no foreign keys between these tables; one row of each.
create table tenants (
    tenant uuid primary key, client_name text not null, email text not null, suspended_at timestamptz, plan text
);
create table clients (
    tenant uuid not null, client_id uuid not null default gen_random_uuid(), client_name text not null, url text,
    primary key (tenant, client_id)
);
create table rmm_integrations (
    tenant uuid not null, integration_id uuid not null default gen_random_uuid(), provider varchar(50) not null,
    instance_url varchar(255), is_active boolean default true, connected_at timestamptz, last_sync_at timestamptz,
    last_full_sync_at timestamptz, last_incremental_sync_at timestamptz, sync_status varchar(20), sync_error text,
    settings jsonb, created_at timestamptz default now(), updated_at timestamptz default now(), region text,
    constraint rmm_integrations_own_pk primary key (tenant, integration_id),
    constraint rmm_integrations_own_unique unique (tenant, provider)
);
create table rmm_organization_mappings (
    tenant uuid not null, mapping_id uuid not null default gen_random_uuid(), integration_id uuid not null,
    external_organization_id varchar(255) not null, external_organization_name varchar(255), client_id uuid,
    auto_sync_assets boolean default true, auto_create_tickets boolean, metadata jsonb, last_synced_at timestamptz,
    default_contact_id uuid, created_at timestamptz default now(), updated_at timestamptz default now(),
    primary key (tenant, mapping_id), unique (tenant, integration_id, external_organization_id)
);
create table assets (
    tenant uuid not null, asset_id uuid not null default gen_random_uuid(), client_id uuid not null, asset_tag text,
    serial_number text, name text, status text, location text, attributes jsonb, asset_type text, purchase_date date,
    created_at timestamptz default now(), updated_at timestamptz default now(), rmm_provider varchar(50),
    rmm_device_id varchar(255), rmm_organization_id varchar(255), agent_status varchar(20), last_seen_at timestamptz,
    last_rmm_sync_at timestamptz, primary key (tenant, asset_id)
);
create table workstation_assets (
    tenant uuid not null, asset_id uuid not null, os_type text, os_version text, cpu_model text, cpu_cores int,
    ram_gb integer, storage_type text, agent_version varchar(255), antivirus_status text, "current_user" varchar(255),
    uptime_seconds bigint, last_reboot_at timestamptz, lan_ip varchar(45), wan_ip varchar(45), system_info jsonb,
    disk_usage jsonb, pending_patches integer, primary key (tenant, asset_id)
);
create table server_assets (
    tenant uuid not null, asset_id uuid not null, os_type text, os_version text, cpu_model text, cpu_cores int,
    ram_gb integer, is_virtual boolean, agent_version varchar(255), "current_user" varchar(255), uptime_seconds bigint,
    last_reboot_at timestamptz, lan_ip varchar(45), wan_ip varchar(45), system_info jsonb, disk_usage jsonb,
    pending_patches integer, primary key (tenant, asset_id)
);
create table rmm_alerts (
    tenant uuid not null, alert_id uuid not null default gen_random_uuid(), integration_id uuid not null,
    external_alert_id varchar(255) not null, external_device_id varchar(255), asset_id uuid, severity varchar(20),
    priority varchar(20), status varchar(20), source_type varchar(50), alert_class varchar(100), message text,
    device_name text, ticket_id uuid, triggered_at timestamptz, resolved_at timestamptz, metadata jsonb,
    created_at timestamptz default now(), updated_at timestamptz default now(), activity_type varchar(100),
    acknowledged_at timestamptz, acknowledged_by uuid, dedup_key varchar(255), occurrence_count int,
    last_occurrence_at timestamptz, matched_rule_id uuid, auto_ticket_created boolean, suppressed_by_window_id uuid,
    escalation_note text, primary key (tenant, alert_id), unique (tenant, integration_id, external_alert_id)
);
create table tenant_external_entity_mappings (
    id uuid not null default gen_random_uuid(), tenant uuid not null, integration_type varchar(50) not null,
    alga_entity_type varchar(50) not null, alga_entity_id varchar(255) not null, external_entity_id varchar(255) not null,
    external_realm_id varchar(255), sync_status varchar(20), last_synced_at timestamptz, metadata jsonb,
    created_at timestamptz default now(), updated_at timestamptz default now(), primary key (id, tenant), unique (tenant, integration_type, alga_entity_type, alga_entity_id)
);
create unique index teem_own_name on tenant_external_entity_mappings
    (tenant, integration_type, alga_entity_type, external_entity_id, coalesce(external_realm_id, ''::character varying));

insert into tenants values ('00000000-0000-0000-0000-000000000001', 'Acme', 'a@example.com', null, 'pro');
insert into clients (tenant, client_name) values ('00000000-0000-0000-0000-000000000001', 'Acme');
insert into rmm_integrations (tenant, integration_id, provider, region)
    values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000011', 'tacticalrmm', 'eu');
insert into assets (tenant, client_id, asset_tag) select tenant, client_id, 'tactical:a' from clients;
insert into rmm_alerts (tenant, integration_id, external_alert_id, status)
    select tenant, integration_id, '7', 'active' from rmm_integrations;
