-- Assets of which a column that seldom changes is another one now; parameters as in insert_assets.sql. The status of a
-- person's own (`status`) and the tag stay. By place: see update_seen.sql
update assets a
set client_id = n.client_id,
    serial_number = n.serial_number,
    name = n.name,
    location = n.location,
    asset_type = n.asset_type,
    rmm_provider = 'tacticalrmm',
    rmm_device_id = n.agent_id,
    rmm_organization_id = $2,
    agent_status = coalesce(n.agent_status, a.agent_status),
    last_seen_at = n.last_seen_at,
    last_rmm_sync_at = $3,
    updated_at = now()
from (
    select n.*, old.place
    from unnest(
        $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
        $12::timestamptz[]
    ) n (asset_id, client_id, name, serial_number, location, asset_type, agent_id, agent_status, last_seen_at)
    cross join lateral (
        select o.ctid as place from assets o where o.tenant = $1 and o.asset_id = n.asset_id offset 0
    ) old
) n
where a.ctid = n.place
