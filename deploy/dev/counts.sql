-- What `./dev up` and `./dev status` say about the demo tenant (:'tenant'), since the fleet was started (:'started'), and
-- about what waits. A device that is gone from Tactical has a status from before: it counts as missing, and as nothing else.
select
    (select count(*) from rmm_alerts where tenant = :'tenant'),
    (select count(*) from rmm_alerts where tenant = :'tenant' and updated_at >= :'started'),
    (select count(*) from rmm_alerts where tenant = :'tenant' and status not in ('resolved', 'auto_resolved')),
    (select coalesce(ceil(extract(epoch from now() - min(available_at))), 0)::bigint from muster.outbox where available_at <= now()),
    (select count(*) from muster.parked),
    assets.*,
    (select count(*) from software_catalog where tenant = :'tenant'),
    (select count(*) from asset_software where tenant = :'tenant' and is_current)
from (
    select count(*),
        count(distinct a.client_id),
        count(*) filter (where g.missing_since is null and a.agent_status = 'online'),
        count(*) filter (where g.missing_since is null and a.agent_status = 'offline'),
        count(*) filter (where g.missing_since is null and a.agent_status = 'overdue'),
        count(g.missing_since)
    from assets a
    -- a tenant has one connection to the provider
    left join muster.agent g on g.tenant = a.tenant and g.agent_id = a.rmm_device_id and g.asset_id = a.asset_id
    where a.tenant = :'tenant' and a.rmm_device_id is not null
) as assets;
