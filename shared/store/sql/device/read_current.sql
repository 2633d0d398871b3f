-- What is known of the agents of a batch, with the asset of each where that still exists.
-- $3: the agents' ids. An agent that nobody has noted is left out. `offset 0` keeps the look-ups look-ups: on tables without
-- statistics the planner would turn the joins round, and read the whole tenant for each agent.
select
    g.agent_id, a.asset_id as "asset_id?", g.digest, g.external_client_id, g.rev,
    g.missing_since is not null as "is_missing!",
    greatest(g.fetched_at, a.last_rmm_sync_at) as fetched_at,
    a.client_id as "client_id?", a.agent_status, a.last_seen_at
from unnest($3::text[]) q (agent_id)
cross join lateral (
    select g.agent_id, g.asset_id, g.digest, g.external_client_id, g.missing_since, g.fetched_at, g.rev
    from muster.agent g
    where g.tenant = $1 and g.integration_id = $2 and g.agent_id = q.agent_id
    offset 0
) g
left join lateral (
    select a.asset_id, a.last_rmm_sync_at, a.client_id, a.agent_status, a.last_seen_at
    from assets a
    where a.tenant = $1 and a.asset_id = g.asset_id
    offset 0
) a on true
