-- Makes assets. $4..$12: asset, client, name, serial, location, type, agent, status, last seen.
insert into assets (
    tenant, asset_id, client_id, asset_tag, serial_number, name, status, location, asset_type, rmm_provider, rmm_device_id,
    rmm_organization_id, agent_status, last_seen_at, last_rmm_sync_at
)
select
    $1, n.asset_id, n.client_id, 'tactical:' || n.agent_id, n.serial_number, n.name, 'active', n.location, n.asset_type,
    'tacticalrmm', n.agent_id, $2, n.agent_status, n.last_seen_at, $3
from unnest(
    $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[]
) n (asset_id, client_id, name, serial_number, location, asset_type, agent_id, agent_status, last_seen_at)
