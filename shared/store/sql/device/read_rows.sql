-- The assets $2 with their extensions: no row of one, one, or two where it stands in both tables.
-- `offset 0`: see read_current.sql
select
    a.asset_id, a.client_id, a.name as "name?", a.serial_number, a.location, a.asset_type, a.rmm_device_id,
    a.rmm_organization_id,
    e.kind as "kind?", e.os_type as "os_type?", e.os_version as "os_version?", e.cpu_model as "cpu_model?",
    e.ram_gb as "ram_gb?", e.agent_version as "agent_version?", e."current_user" as "current_user?",
    e.uptime_seconds as "uptime_seconds?", e.last_reboot_at as "last_reboot_at?", e.lan_ip as "lan_ip?",
    e.wan_ip as "wan_ip?", e.system_info as "system_info?", e.disk_usage as "disk_usage?",
    e.pending_patches as "pending_patches?"
from unnest($2::uuid[]) q (asset_id)
cross join lateral (
    select * from assets a where a.tenant = $1 and a.asset_id = q.asset_id offset 0
) a
left join lateral (
    select 'workstation' as kind, w.os_type, w.os_version, w.cpu_model, w.ram_gb, w.agent_version, w."current_user",
           w.uptime_seconds, w.last_reboot_at, w.lan_ip, w.wan_ip, w.system_info, w.disk_usage, w.pending_patches
    from workstation_assets w
    where w.tenant = a.tenant and w.asset_id = a.asset_id
    union all
    select 'server', s.os_type, s.os_version, s.cpu_model, s.ram_gb, s.agent_version, s."current_user",
           s.uptime_seconds, s.last_reboot_at, s.lan_ip, s.wan_ip, s.system_info, s.disk_usage, s.pending_patches
    from server_assets s
    where s.tenant = a.tenant and s.asset_id = a.asset_id
    offset 0
) e on true
