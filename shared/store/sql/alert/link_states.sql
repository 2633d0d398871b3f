-- Links what is still the same agent's and still without an asset; the locks are held, so that a row stays where it is and
-- as it is. By place, and nothing but the place: without statistics the planner would look each alert up among all that wait
-- (alert_state_unlinked).
update muster.alert_state s
set asset_id = q.asset_id, rev = s.rev + 1, updated_rev = s.rev + 1
from (
    select q.asset_id, old.place
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) q (tenant, alert_id, agent_id, asset_id)
    cross join lateral (
        select o.ctid as place, o.agent_id, o.asset_id, o.external_alert_id
        from muster.alert_state o where o.tenant = q.tenant and o.alert_id = q.alert_id offset 0
    ) old
    where old.agent_id = q.agent_id and old.asset_id is null and old.external_alert_id is not null
) q
where s.ctid = q.place
returning s.tenant, s.alert_id, s.rev, s.asset_id as "asset_id!"
