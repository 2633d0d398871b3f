-- A few agents of each of Tactical's clients, those that are not missing; $3 of each.
select m.external_organization_id as client, g.agent_id
from rmm_organization_mappings m
cross join lateral (
    select agent_id
    from muster.agent
    where tenant = m.tenant and integration_id = m.integration_id
      and external_client_id = m.external_organization_id and missing_since is null
    order by agent_id
    limit $3
) g
where m.tenant = $1 and m.integration_id = $2
order by client, g.agent_id
