select
    i.tenant,
    i.integration_id,
    i.instance_url,
    coalesce(i.is_active, false) as "is_active!",
    t.suspended_at is not null as "is_suspended!",
    i.settings ->> 'auth_mode' as auth_mode,
    coalesce(i.settings, '{}') as "settings!",
    i.connected_at,
    i.last_sync_at,
    i.last_full_sync_at,
    i.last_incremental_sync_at,
    i.sync_status,
    i.sync_error,
    -- a left join: a connection that AlgaPSA or `muster tenant connect` made has no row of ours before something is told of it
    coalesce(c.device_source, 'classic') as "device_source!",
    c.confirmed_url as "confirmed_url?",
    c.held_at as "held_at?",
    c.held as "held?",
    c.code_wanted_at as "code_wanted_at?",
    c.login_refused_at as "login_refused_at?",
    c.login_not_before as "login_not_before?",
    c.tested_at as "tested_at?",
    c.server_version as "server_version?",
    c.clients_visible as "clients_visible?",
    c.agents_visible as "agents_visible?",
    coalesce(c.revision, 0) as "revision!",
    coalesce(c.server_epoch, 0) as "server_epoch!",
    clock_timestamp() as "database_now!"
from rmm_integrations i
join tenants t on t.tenant = i.tenant
left join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
where i.tenant = $1 and i.provider = $2
