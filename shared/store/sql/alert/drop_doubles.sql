-- The doubles themselves; their locks are held.
with gone as (
    delete from muster.alert_state s
    using unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
    where s.tenant = q.tenant and s.alert_id = q.alert_id
    returning s.tenant, s.alert_id
)
delete from rmm_alerts r
using gone
where r.tenant = gone.tenant and r.alert_id = gone.alert_id
