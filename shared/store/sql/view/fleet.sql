-- How many of a tenant's devices are in which state, and how old that knowledge is; always one row. An agent counts once:
-- an asset of it that AlgaPSA made beside the one that it is is no device of its own.
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
    left join rmm_integrations i on i.tenant = a.tenant and i.provider = $2
    left join muster.agent g
        on g.tenant = a.tenant and g.integration_id = i.integration_id and g.agent_id = a.rmm_device_id
        and g.asset_id = a.asset_id
    left join rmm_organization_mappings l
        on l.tenant = a.tenant and l.integration_id = i.integration_id
        and l.external_organization_id = g.external_client_id
    where a.tenant = $1 and a.rmm_provider = $2
      and not exists (
          select from muster.agent o
          join assets b on b.tenant = o.tenant and b.asset_id = o.asset_id
          where o.tenant = a.tenant and o.integration_id = i.integration_id and o.agent_id = a.rmm_device_id
            and b.asset_id <> a.asset_id
      )
) device
