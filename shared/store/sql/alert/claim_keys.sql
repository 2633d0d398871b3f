-- Claims the names that nobody has, in the order of their primary key. A number that AlgaPSA has seen keeps its row.
-- $1 tenants, $2 integrations, $3 keys, $4 the number that the same fact names, $5 ids for alerts that are new
insert into muster.alert_key (tenant, integration_id, key, alert_id)
select k.tenant, k.integration_id, k.key, coalesce(r.alert_id, k.alert_id)
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[]) k (tenant, integration_id, key, number, alert_id)
left join rmm_alerts r
    on r.tenant = k.tenant and r.integration_id = k.integration_id and r.external_alert_id = k.number
order by k.tenant, k.integration_id, k.key collate "C"
on conflict (tenant, integration_id, key) do nothing
returning tenant, integration_id, key, alert_id
