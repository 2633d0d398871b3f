-- What `./dev up` and `./dev status` say about the demo tenant (:'tenant'), since the fleet was started (:'started'), and
-- about what waits.
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
        count(distinct client_id),
        count(*) filter (where agent_status = 'online'),
        count(*) filter (where agent_status = 'offline'),
        count(*) filter (where agent_status = 'overdue')
    from assets
    where tenant = :'tenant' and rmm_device_id is not null
) as assets;
