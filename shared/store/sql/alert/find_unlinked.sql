-- The visible alerts of these agents that wait for an asset which is known now.
-- $4: the assets, one for each agent. `offset 0`: see find_assets.sql
select s.tenant, s.alert_id, s.integration_id, q.agent_id as "agent_id!", q.asset_id as "asset_id!"
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) q (tenant, integration_id, agent_id, asset_id)
cross join lateral (
    select s.tenant, s.alert_id, s.integration_id
    from muster.alert_state s
    where s.tenant = q.tenant and s.integration_id = q.integration_id and s.agent_id = q.agent_id
      and s.asset_id is null and s.external_alert_id is not null
    offset 0
) s
order by s.tenant, s.alert_id
