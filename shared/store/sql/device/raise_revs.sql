-- The next revision of the devices of the agents $3 (sorted, in the order in which every writer takes these rows), with what
-- events say of them. `offset 0`: see read_current.sql
with told as (
    select g.agent_id, g.asset_id
    from unnest($3::text[]) with ordinality n (agent_id, position)
    join muster.agent g on g.tenant = $1 and g.integration_id = $2 and g.agent_id = n.agent_id
    where g.asset_id is not null
    order by n.position
    for no key update of g
)
update muster.agent g
set rev = g.rev + 1
from told
cross join lateral (
    select a.asset_id, a.name, a.asset_type, a.client_id, a.serial_number
    from assets a
    where a.tenant = $1 and a.asset_id = told.asset_id
    offset 0
) a
where g.tenant = $1 and g.integration_id = $2 and g.agent_id = told.agent_id
returning g.agent_id, a.asset_id as "asset_id!", g.rev, g.external_client_id, g.site_name,
    g.missing_since is not null as "is_missing!", a.name as "name!", a.asset_type, a.client_id as "client_id!",
    a.serial_number, now() as "now!"
