-- The workstations' own rows, whole. $2..$15: asset, then a column each.
insert into workstation_assets as e (
    tenant, asset_id, os_type, os_version, cpu_model, ram_gb, agent_version, "current_user", uptime_seconds, last_reboot_at,
    lan_ip, wan_ip, system_info, disk_usage, pending_patches
)
select
    $1, n.asset_id, n.os_type, n.os_version, n.cpu_model, n.ram_gb, n.agent_version, n.logged_in, n.uptime_seconds,
    n.last_reboot_at, n.lan_ip, n.wan_ip, n.system_info, n.disk_usage, n.pending_patches
from unnest(
    $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[], $9::int8[], $10::timestamptz[],
    $11::text[], $12::text[], $13::jsonb[], $14::jsonb[], $15::int[]
) n (
    asset_id, os_type, os_version, cpu_model, ram_gb, agent_version, logged_in, uptime_seconds, last_reboot_at, lan_ip,
    wan_ip, system_info, disk_usage, pending_patches
)
on conflict (tenant, asset_id) do update
set os_type = excluded.os_type,
    os_version = excluded.os_version,
    cpu_model = excluded.cpu_model,
    ram_gb = excluded.ram_gb,
    agent_version = excluded.agent_version,
    "current_user" = excluded."current_user",
    uptime_seconds = excluded.uptime_seconds,
    last_reboot_at = excluded.last_reboot_at,
    lan_ip = excluded.lan_ip,
    wan_ip = excluded.wan_ip,
    system_info = excluded.system_info,
    disk_usage = excluded.disk_usage,
    pending_patches = excluded.pending_patches
