-- Links what is still the same agent's and still without an asset; the locks are held.
update muster.alert_state s
set asset_id = q.asset_id, rev = s.rev + 1, updated_rev = s.rev + 1
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) q (tenant, alert_id, agent_id, asset_id)
where s.tenant = q.tenant and s.alert_id = q.alert_id and s.agent_id = q.agent_id
  and s.asset_id is null and s.external_alert_id is not null
returning s.tenant, s.alert_id, s.rev, s.asset_id as "asset_id!"
