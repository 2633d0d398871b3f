-- The asset of each agent: as the sync has noted it, else as AlgaPSA's mapping says. An asset that is gone is none.
-- Ids in AlgaPSA's mapping are text: only what looks like one is read as one. `offset 0` keeps the look-ups look-ups: on
-- tables without statistics the planner would turn the joins round, and read a whole tenant for each agent.
select distinct on (q.tenant, q.integration_id, q.agent_id)
    q.tenant as "tenant!", q.integration_id as "integration_id!", q.agent_id as "agent_id!", a.asset_id as "asset_id!"
from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, agent_id)
left join lateral (
    select g.asset_id
    from muster.agent g
    where g.tenant = q.tenant and g.integration_id = q.integration_id and g.agent_id = q.agent_id
    offset 0
) g on true
left join lateral (
    select m.alga_entity_id, m.last_synced_at
    from tenant_external_entity_mappings m
    where m.tenant = q.tenant and m.integration_type = 'tacticalrmm' and m.alga_entity_type = 'asset'
      and m.external_entity_id = q.agent_id
    offset 0
) m on true
cross join lateral (
    select a.asset_id
    from assets a
    where a.tenant = q.tenant
      and a.asset_id = coalesce(
          g.asset_id,
          case when m.alga_entity_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
              then m.alga_entity_id::uuid end
      )
    offset 0
) a
order by q.tenant, q.integration_id, q.agent_id, m.last_synced_at desc nulls last, a.asset_id
