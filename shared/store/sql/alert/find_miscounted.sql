-- Which of these alerts' dedup keys are numbered wrongly around them: an alert is one more than the one before it, and the
-- one after it one more than the alert.
select distinct s.tenant, s.integration_id, s.dedup_key as "dedup_key!"
from unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
join rmm_alerts r on r.tenant = q.tenant and r.alert_id = q.alert_id
left join lateral (
    select b.alert_id from muster.alert_state b
    where b.tenant = s.tenant and b.integration_id = s.integration_id and b.dedup_key = s.dedup_key
      and (b.opening_at, b.external_alert_id) < (s.opening_at, s.external_alert_id)
    order by b.opening_at desc, b.external_alert_id desc
    limit 1
) before on true
left join lateral (
    select a.alert_id from muster.alert_state a
    where a.tenant = s.tenant and a.integration_id = s.integration_id and a.dedup_key = s.dedup_key
      and (a.opening_at, a.external_alert_id) > (s.opening_at, s.external_alert_id)
    order by a.opening_at, a.external_alert_id
    limit 1
) after on true
left join rmm_alerts rb on rb.tenant = q.tenant and rb.alert_id = before.alert_id
left join rmm_alerts ra on ra.tenant = q.tenant and ra.alert_id = after.alert_id
where s.dedup_key is not null
  and (r.occurrence_count <> coalesce(rb.occurrence_count, 0) + 1
       or (after.alert_id is not null and ra.occurrence_count <> r.occurrence_count + 1))
