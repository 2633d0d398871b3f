-- The agents $3 are not under their client any more, and where they are is not imported, or they are hidden: no list says how
-- they are. Not those of which anything was written since the part of run $4 began that lacks them.
with gone as (
    select g.agent_id
    from unnest($3::text[]) with ordinality n (agent_id, position)
    join muster.run_candidate c on c.tenant = $1 and c.run_id = $4 and c.agent_id = n.agent_id
    join muster.agent g on g.tenant = $1 and g.integration_id = $2 and g.agent_id = n.agent_id
    where g.external_client_id is not null and (g.fetched_at is null or g.fetched_at < c.since)
    order by n.position
    for no key update of g
)
update muster.agent g
set external_client_id = null
from gone
where g.tenant = $1 and g.integration_id = $2 and g.agent_id = gone.agent_id
