-- The asset that AlgaPSA has for each of the agents $3: by its mapping, else by the agent's id in the asset. Of several the
-- one of client $4 counts, then the one that was synced last. One that is another agent's already is none.
-- Ids in AlgaPSA's mapping are text: only what looks like one is read as one. `offset 0`: see read_current.sql
select distinct on (q.agent_id) q.agent_id as "agent_id!", a.asset_id as "asset_id!", found.rank as "rank!"
from unnest($3::text[]) q (agent_id)
cross join lateral (
    select 1 as rank, m.last_synced_at, coalesce(m.external_realm_id, '') = $4 as is_client,
           case when m.alga_entity_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
               then m.alga_entity_id::uuid end as asset_id
    from tenant_external_entity_mappings m
    where m.tenant = $1 and m.integration_type = 'tacticalrmm' and m.alga_entity_type = 'asset'
      and m.external_entity_id = q.agent_id
    union all
    select 2, b.last_rmm_sync_at, coalesce(b.rmm_organization_id, '') = $4, b.asset_id
    from assets b
    where b.tenant = $1 and b.rmm_device_id = q.agent_id and b.rmm_provider = 'tacticalrmm'
    offset 0
) found
cross join lateral (
    select a.asset_id from assets a where a.tenant = $1 and a.asset_id = found.asset_id offset 0
) a
where (
    select count(*)
    from muster.agent g
    where g.tenant = $1 and g.asset_id = a.asset_id and (g.integration_id <> $2 or g.agent_id <> q.agent_id)
) = 0
order by q.agent_id, found.is_client desc, found.rank, found.last_synced_at desc nulls last, a.asset_id
