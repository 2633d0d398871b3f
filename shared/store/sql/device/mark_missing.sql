-- The agents $3 are gone, unless something was written of them since the part of run $4 began that lacks them. Sorted, in
-- the order in which every writer takes these rows.
with gone as (
    select g.agent_id
    from unnest($3::text[]) with ordinality n (agent_id, position)
    join muster.run_candidate c on c.tenant = $1 and c.run_id = $4 and c.agent_id = n.agent_id
    join muster.agent g on g.tenant = $1 and g.integration_id = $2 and g.agent_id = n.agent_id
    left join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
    where g.missing_since is null and (g.fetched_at is null or g.fetched_at < c.since)
      and (a.last_rmm_sync_at is null or a.last_rmm_sync_at < c.since)
    order by n.position
    for no key update of g
)
update muster.agent g
set missing_since = now()
from gone
where g.tenant = $1 and g.integration_id = $2 and g.agent_id = gone.agent_id
returning g.agent_id
