-- The devices of a batch's agents that are imported, each with the list that was written last.
-- $3: the agents' ids. `offset 0` keeps the look-ups look-ups: see device/read_current.sql
select
    q.agent_id as "agent_id!", a.asset_id as "asset_id!", r.digest as "digest?", r.programs as "programs?", r.rev as "rev?",
    r.fetched_at as "fetched_at?", r.emptied_at as "emptied_at?", a.last_seen_at
from unnest($3::text[]) q (agent_id)
cross join lateral (
    select g.asset_id, g.external_client_id
    from muster.agent g
    where g.tenant = $1 and g.integration_id = $2 and g.agent_id = q.agent_id
    offset 0
) g
cross join lateral (
    select a.asset_id, a.last_seen_at from assets a where a.tenant = $1 and a.asset_id = g.asset_id offset 0
) a
cross join lateral (
    select m.client_id
    from rmm_organization_mappings m
    where m.tenant = $1 and m.integration_id = $2 and m.external_organization_id = g.external_client_id
      and m.client_id is not null and coalesce(m.auto_sync_assets, true)
    offset 0
) m
left join lateral (
    select r.digest, r.programs, r.rev, r.fetched_at, r.emptied_at
    from muster.software_report r
    where r.tenant = $1 and r.asset_id = a.asset_id
    offset 0
) r on true
