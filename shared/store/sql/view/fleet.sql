-- How many of a tenant's devices are in which state, and how old that knowledge is; always one row. An agent counts once:
-- an asset of it that AlgaPSA made beside the one that it is is no device of its own.
-- `offset 0` fences each look-up: tables that a first sync has just filled have no statistics, and the planner would read
-- all of the tenant's agents for each of its devices
select count(*) filter (where missing_since is null and agent_status = 'online') as "online!",
       count(*) filter (where missing_since is null and agent_status = 'offline') as "offline!",
       count(*) filter (where missing_since is null and agent_status = 'overdue') as "overdue!",
       count(*) filter (where missing_since is null
                        and coalesce(agent_status, '') not in ('online', 'offline', 'overdue')) as "unknown!",
       count(*) filter (where missing_since is not null) as "missing!",
       min(observed_at) filter (where missing_since is null) as oldest_status_at,
       max(observed_at) filter (where missing_since is null) as newest_status_at
from (
    select a.agent_status, g.missing_since,
           -- what did not change was not written: a whole list of its client tells its status as well as its own row
           case when g.missing_since is null then greatest(a.last_rmm_sync_at, l.last_synced_at)
                else a.last_rmm_sync_at end as observed_at
    from assets a
    left join lateral (
        select g.asset_id, g.external_client_id, g.missing_since
        from muster.agent g
        where g.tenant = $1 and g.agent_id = a.rmm_device_id
          and g.integration_id = (select integration_id from rmm_integrations where tenant = $1 and provider = $2)
        offset 0
    ) o on true
    left join lateral (
        select o.external_client_id, o.missing_since where o.asset_id = a.asset_id
    ) g on true
    left join lateral (
        select m.last_synced_at
        from rmm_organization_mappings m
        where m.tenant = $1 and m.external_organization_id = g.external_client_id
          and m.integration_id = (select integration_id from rmm_integrations where tenant = $1 and provider = $2)
        offset 0
    ) l on true
    where a.tenant = $1 and a.rmm_provider = $2
      and (o.asset_id is null or o.asset_id = a.asset_id
           or not exists (select from assets b where b.tenant = $1 and b.asset_id = o.asset_id))
) device
