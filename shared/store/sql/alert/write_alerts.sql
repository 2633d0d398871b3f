-- The visible rows. What people have written (acknowledged, suppressed, ticket) stays; a resolve ends the first two.
-- $2: the transaction's clock, as a value: a function of the moment has no place in an update that shards repeat
insert into rmm_alerts as r (
    tenant, alert_id, integration_id, external_alert_id, external_device_id, asset_id, severity, status,
    source_type, alert_class, message, device_name, triggered_at, resolved_at, metadata,
    created_at, updated_at, dedup_key, occurrence_count, last_occurrence_at
)
select
    q.tenant, q.alert_id, q.integration_id, q.external_alert_id, q.external_device_id, q.asset_id, q.severity, q.status,
    q.alert_type, q.alert_type, q.message, q.device_name, q.triggered_at, q.resolved_at, q.metadata,
    $2::timestamptz, $2::timestamptz, q.dedup_key, q.occurrence_count, q.triggered_at
from jsonb_to_recordset($1) q (
    tenant uuid, alert_id uuid, integration_id uuid, external_alert_id text, external_device_id text, asset_id uuid,
    severity text, status text, alert_type text, message text, device_name text, triggered_at timestamptz,
    resolved_at timestamptz, metadata jsonb, dedup_key text, occurrence_count int
)
order by q.tenant, q.integration_id, q.external_alert_id collate "C"
on conflict (tenant, alert_id) do update set
    external_alert_id = excluded.external_alert_id,
    external_device_id = excluded.external_device_id,
    asset_id = excluded.asset_id,
    severity = excluded.severity,
    status = case
        when excluded.status <> 'resolved' and r.status in ('acknowledged', 'suppressed') then r.status
        else excluded.status
    end,
    source_type = excluded.source_type,
    alert_class = excluded.alert_class,
    message = excluded.message,
    device_name = excluded.device_name,
    triggered_at = excluded.triggered_at,
    resolved_at = excluded.resolved_at,
    metadata = coalesce(r.metadata, '{}') || excluded.metadata,
    updated_at = excluded.updated_at,
    dedup_key = excluded.dedup_key,
    -- only a moved opening is numbered anew here; what another opening moves is renumbered afterwards
    occurrence_count = case
        when r.dedup_key is distinct from excluded.dedup_key
            or r.last_occurrence_at is distinct from excluded.last_occurrence_at then excluded.occurrence_count
        else r.occurrence_count
    end,
    last_occurrence_at = excluded.last_occurrence_at
where (
        r.external_alert_id, r.external_device_id, r.asset_id, r.severity, r.source_type, r.alert_class, r.message,
        r.device_name, r.triggered_at, r.resolved_at, r.dedup_key, r.last_occurrence_at
    ) is distinct from (
        excluded.external_alert_id, excluded.external_device_id, excluded.asset_id, excluded.severity,
        excluded.source_type, excluded.alert_class, excluded.message, excluded.device_name, excluded.triggered_at,
        excluded.resolved_at, excluded.dedup_key, excluded.last_occurrence_at
    )
    or (r.status <> excluded.status
        and not (excluded.status <> 'resolved' and r.status in ('acknowledged', 'suppressed')))
    or not coalesce(r.metadata, '{}') @> excluded.metadata
