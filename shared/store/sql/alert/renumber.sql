-- Numbers the openings of these dedup keys by their time; the locks of the keys and of the alerts are held.
update rmm_alerts r
set occurrence_count = n.occurrence
from (
    select s.tenant, s.alert_id, row_number() over (
        partition by s.tenant, s.integration_id, s.dedup_key order by s.opening_at, s.external_alert_id
    ) as occurrence
    from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
    join muster.alert_state s
        on s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
) n
where r.tenant = n.tenant and r.alert_id = n.alert_id and r.occurrence_count <> n.occurrence
