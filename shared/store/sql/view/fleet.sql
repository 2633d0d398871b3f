-- How many of a tenant's devices are in which state, and how old that knowledge is; always one row.
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
           case when g.missing_since is null then greatest(a.last_rmm_sync_at, m.last_synced_at)
                else a.last_rmm_sync_at end as observed_at
    from assets a
    left join rmm_integrations i on i.tenant = a.tenant and i.provider = $2
    left join muster.agent g
        on g.tenant = a.tenant and g.integration_id = i.integration_id and g.agent_id = a.rmm_device_id
    left join rmm_organization_mappings m
        on m.tenant = a.tenant and m.integration_id = i.integration_id
        and m.external_organization_id = coalesce(g.external_client_id, a.rmm_organization_id)
    where a.tenant = $1 and a.rmm_provider = $2
) device
