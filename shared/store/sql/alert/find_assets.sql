-- The asset of each agent: as the sync has noted it, else as AlgaPSA's mapping says. An asset that is gone is none.
-- ids in AlgaPSA's mapping are text: only what looks like one is read as one
select distinct on (q.tenant, q.integration_id, q.agent_id)
    q.tenant as "tenant!", q.integration_id as "integration_id!", q.agent_id as "agent_id!", a.asset_id as "asset_id!"
from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, agent_id)
left join muster.agent g
    on g.tenant = q.tenant and g.integration_id = q.integration_id and g.agent_id = q.agent_id
left join tenant_external_entity_mappings m
    on m.tenant = q.tenant and m.integration_type = 'tacticalrmm' and m.alga_entity_type = 'asset'
    and m.external_entity_id = q.agent_id
join assets a
    on a.tenant = q.tenant
    and a.asset_id = coalesce(
        g.asset_id,
        case when m.alga_entity_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
            then m.alga_entity_id::uuid end
    )
order by q.tenant, q.integration_id, q.agent_id, m.last_synced_at desc nulls last, a.asset_id
