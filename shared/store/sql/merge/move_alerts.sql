-- The alerts of asset $2 become those of $3; $4, $5: those with a state, and its revision now. Gives back what events say.
update rmm_alerts r
set asset_id = $3, updated_at = now()
from rmm_alerts same
left join unnest($4::uuid[], $5::bigint[]) n (alert_id, rev) on n.alert_id = same.alert_id
where r.tenant = $1 and r.asset_id = $2 and same.tenant = r.tenant and same.alert_id = r.alert_id
returning
    r.alert_id, r.integration_id, n.rev as "rev?", r.external_device_id, r.severity, r.status, r.dedup_key,
    r.occurrence_count, r.triggered_at, r.resolved_at
