-- For each new opening the last one before it under the same dedup key, as numbered so far.
select
    q.position as "position!", p.opening_at as "opening_at?", p.external_alert_id as "external_alert_id?",
    r.occurrence_count as "occurrence_count?"
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[])
    with ordinality q (tenant, integration_id, dedup_key, opening_at, external_alert_id, alert_id, position)
cross join lateral (
    select s.alert_id, s.opening_at, s.external_alert_id
    from muster.alert_state s
    where s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
      and (s.opening_at, s.external_alert_id) < (q.opening_at, q.external_alert_id collate "C")
      and s.alert_id <> q.alert_id
    order by s.opening_at desc, s.external_alert_id desc
    limit 1
) p
left join rmm_alerts r on r.tenant = q.tenant and r.alert_id = p.alert_id
