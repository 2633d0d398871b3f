-- Every alert of these dedup keys.
select s.tenant, s.alert_id, s.integration_id
from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
join muster.alert_state s
    on s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
