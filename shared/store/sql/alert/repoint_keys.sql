-- Two names turned out to mean one alert.
update muster.alert_key k
set alert_id = q.alert_id
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) q (tenant, integration_id, key, alert_id)
where k.tenant = q.tenant and k.integration_id = q.integration_id and k.key = q.key
