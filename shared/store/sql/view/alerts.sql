-- One page of a tenant's alerts, the newest first. Only the page's own assets are looked up: see fleet.sql
-- The metadata is AlgaPSA's, too: what is no time there is read as none, by the reader (PostgreSQL 15 can only fail at it).
select l.alert_id, l.external_alert_id, l.external_device_id as agent_id, l.asset_id, a.name as "asset_name?",
       l.device_name, l.severity, l.status, l.source_type, l.alert_class, l.message, l.triggered_at, l.resolved_at,
       coalesce(l.metadata -> 'snoozed' = 'true', false) as "is_snoozed!",
       coalesce(l.metadata ->> 'snoozed_until', '') as "snoozed_until!: Loose",
       coalesce(l.metadata -> 'hidden' = 'true', false) as "is_hidden!",
       l.acknowledged_at, l.dedup_key, l.occurrence_count as "occurrence_count!", l.last_occurrence_at,
       l.updated_at as "updated_at!"
from (
    select l.*
    from rmm_alerts l
    where l.tenant = $1
      and l.integration_id = (select integration_id from rmm_integrations where tenant = $1 and provider = $2)
      and ($3::timestamptz is null or (l.triggered_at, l.alert_id) < ($3, $4::uuid))
      and ($5::text is null or l.status = $5)
      and ($6::text is null or l.severity = $6)
      and ($7::uuid is null or l.asset_id = $7)
      and ($8::text is null or l.external_device_id = $8)
    order by l.triggered_at desc, l.alert_id desc
    limit $9
) l
left join lateral (
    select a.name from assets a where a.tenant = $1 and a.asset_id = l.asset_id offset 0
) a on true
order by l.triggered_at desc, l.alert_id desc
