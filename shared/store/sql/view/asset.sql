-- One device of a tenant, with everything that is known of it.
select a.asset_id, a.client_id, c.client_name as "client_name?", a.asset_tag, a.name, a.asset_type, a.serial_number,
       a.status, a.location, a.rmm_device_id as agent_id, a.rmm_organization_id as organization_id,
       m.external_organization_name as "organization_name?", a.agent_status, a.last_seen_at,
       g.missing_since as "missing_since?",
       case when g.missing_since is null then greatest(a.last_rmm_sync_at, l.last_synced_at)
            else a.last_rmm_sync_at end as status_observed_at,
       a.created_at as "created_at!", a.updated_at as "updated_at!", now() as "database_now!",
       coalesce(w.os_type, s.os_type) as os_type, coalesce(w.os_version, s.os_version) as os_version,
       coalesce(w.agent_version, s.agent_version) as agent_version,
       coalesce(w."current_user", s."current_user") as "current_user",
       coalesce(w.last_reboot_at, s.last_reboot_at) as last_reboot_at,
       coalesce(w.uptime_seconds, s.uptime_seconds) as uptime_seconds,
       coalesce(w.lan_ip, s.lan_ip) as lan_ip, coalesce(w.wan_ip, s.wan_ip) as wan_ip,
       coalesce(w.cpu_model, s.cpu_model) as cpu_model, coalesce(w.ram_gb, s.ram_gb) as ram_gb,
       coalesce(w.disk_usage, s.disk_usage) as disk_usage, coalesce(w.system_info, s.system_info) as system_info,
       coalesce(w.pending_patches, s.pending_patches) as pending_patches
from assets a
left join clients c on c.tenant = a.tenant and c.client_id = a.client_id
left join rmm_integrations i on i.tenant = a.tenant and i.provider = $2
left join muster.agent g
    on g.tenant = a.tenant and g.integration_id = i.integration_id and g.agent_id = a.rmm_device_id
    and g.asset_id = a.asset_id
left join rmm_organization_mappings m
    on m.tenant = a.tenant and m.integration_id = i.integration_id
    and m.external_organization_id = coalesce(g.external_client_id, a.rmm_organization_id)
-- whose list tells how the device is: none, where the agent has left its client or is hidden, or is another asset by now
left join rmm_organization_mappings l
    on l.tenant = a.tenant and l.integration_id = i.integration_id and l.external_organization_id = g.external_client_id
left join workstation_assets w on w.tenant = a.tenant and w.asset_id = a.asset_id
left join server_assets s on s.tenant = a.tenant and s.asset_id = a.asset_id
where a.tenant = $1 and a.rmm_provider = $2 and a.asset_id = $3
