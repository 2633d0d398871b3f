-- AlgaPSA's link between asset and agent. $4..$6: agent, asset, {site_id, site_name}. One that is right is not written.
insert into tenant_external_entity_mappings as m (
    tenant, integration_type, alga_entity_type, alga_entity_id, external_entity_id, external_realm_id, sync_status,
    last_synced_at, metadata
)
select $1, 'tacticalrmm', 'asset', n.asset_id, n.agent_id, $2, 'synced', $3::timestamptz, n.metadata
from unnest($4::text[], $5::text[], $6::jsonb[]) n (agent_id, asset_id, metadata)
on conflict (tenant, integration_type, alga_entity_type, alga_entity_id) do update
set external_entity_id = excluded.external_entity_id,
    external_realm_id = excluded.external_realm_id,
    sync_status = excluded.sync_status,
    last_synced_at = excluded.last_synced_at,
    metadata = coalesce(m.metadata, '{}') || excluded.metadata
where m.external_entity_id <> excluded.external_entity_id
   or m.external_realm_id is distinct from excluded.external_realm_id
   or not coalesce(m.metadata, '{}') @> excluded.metadata
