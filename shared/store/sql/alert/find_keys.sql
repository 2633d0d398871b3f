-- Which alert each name means, once the claim has waited for everybody who claimed one of them at the same time.
select k.tenant, k.integration_id, k.key, k.alert_id
from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, key)
join muster.alert_key k on k.tenant = q.tenant and k.integration_id = q.integration_id and k.key = q.key
