-- Of the next $3 alerts after ($1, $2) those whose visible row is gone, or that never had one, and of which nothing was
-- said for $4 seconds; with them the last of the $3, where the next look begins.
with slice as (
    select tenant, alert_id
    from muster.alert_state
    where (tenant, alert_id) > ($1, $2)
    order by tenant, alert_id
    limit $3
)
select
    (select count(*) from slice) as "looked!",
    (select tenant from slice order by tenant desc, alert_id desc limit 1) as last_tenant,
    (select alert_id from slice order by tenant desc, alert_id desc limit 1) as last_alert,
    coalesce(array_agg(s.tenant), '{}') as "tenants!",
    coalesce(array_agg(s.alert_id), '{}') as "alerts!"
from slice q
join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
where greatest(
        s.alert_time, s.opened_at, s.resolve_said_at, s.absent_at, s.open_polled_at, s.loose_opened_at,
        s.loose_resolve_said_at, s.loose_absent_at, s.loose_open_polled_at, s.fetch_wanted_at, s.retired_at
    ) < now() - make_interval(secs => $4)
  and not exists (select from rmm_alerts r where r.tenant = s.tenant and r.alert_id = s.alert_id)
