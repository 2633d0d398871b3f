-- The visible alerts of these agents that wait for an asset which is known now, and whether the link is told: that of a
-- device whose client is still being imported is a part of the import (run/tell.rs).
-- $4: the assets, one for each agent. `offset 0`: see find_assets.sql
select s.tenant, s.alert_id, s.integration_id, q.agent_id as "agent_id!", q.asset_id as "asset_id!",
       coalesce(g.is_imported, true) as "is_told!"
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) q (tenant, integration_id, agent_id, asset_id)
cross join lateral (
    select s.tenant, s.alert_id, s.integration_id
    from muster.alert_state s
    where s.tenant = q.tenant and s.integration_id = q.integration_id and s.agent_id = q.agent_id
      and s.asset_id is null and s.external_alert_id is not null
    offset 0
) s
left join lateral (
    select exists (
        select from muster.imported d
        where d.tenant = g.tenant and d.integration_id = g.integration_id and d.kind = 'devices'
          and d.scope = g.external_client_id
    ) as is_imported
    from muster.agent g
    where g.tenant = s.tenant and g.integration_id = s.integration_id and g.agent_id = q.agent_id
      and g.external_client_id is not null
    offset 0
) g on true
order by s.tenant, s.alert_id
