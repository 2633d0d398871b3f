-- Forgets these alerts and their names, if their visible rows are still gone; their locks are held. What comes back are
-- the dedup keys that they leave.
with gone as (
    select s.tenant, s.alert_id
    from unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
    join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
    where not exists (select from rmm_alerts r where r.tenant = s.tenant and r.alert_id = s.alert_id)
),
names as (
    delete from muster.alert_key k
    using gone
    where k.tenant = gone.tenant and k.alert_id = gone.alert_id
)
delete from muster.alert_state s
using gone
where s.tenant = gone.tenant and s.alert_id = gone.alert_id
returning s.tenant, s.integration_id, s.dedup_key
