-- Forgets these alerts and their names, if their visible rows are still gone and still nothing was said of them for $3
-- seconds; their locks are held. What comes back are the dedup keys that they leave.
with gone as (
    select s.tenant, s.alert_id
    from unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
    join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
    where greatest(
            s.alert_time, s.opened_at, s.resolve_said_at, s.absent_at, s.open_polled_at, s.loose_opened_at,
            s.loose_resolve_said_at, s.loose_absent_at, s.loose_open_polled_at, s.fetch_wanted_at, s.retired_at
        ) < now() - make_interval(secs => $3)
      and not exists (select from rmm_alerts r where r.tenant = s.tenant and r.alert_id = s.alert_id)
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
