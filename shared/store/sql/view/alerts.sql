-- One page of a tenant's alerts, the newest first.
select l.alert_id, l.external_alert_id, l.external_device_id as agent_id, l.asset_id, a.name as "asset_name?",
       l.device_name, l.severity, l.status, l.source_type, l.alert_class, l.message, l.triggered_at, l.resolved_at,
       l.acknowledged_at, l.dedup_key, l.occurrence_count as "occurrence_count!", l.last_occurrence_at,
       l.updated_at as "updated_at!"
from rmm_alerts l
join rmm_integrations i on i.tenant = l.tenant and i.integration_id = l.integration_id and i.provider = $2
left join assets a on a.tenant = l.tenant and a.asset_id = l.asset_id
where l.tenant = $1
  and ($3::timestamptz is null or (l.triggered_at, l.alert_id) < ($3, $4::uuid))
  and ($5::text is null or l.status = $5)
  and ($6::text is null or l.severity = $6)
  and ($7::uuid is null or l.asset_id = $7)
  and ($8::text is null or l.external_device_id = $8)
order by l.triggered_at desc, l.alert_id desc
limit $9
