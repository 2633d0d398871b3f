-- Links the visible rows of alerts whose states were just linked (link_states.sql); gives back what the events say.
update rmm_alerts r
set asset_id = q.asset_id, updated_at = $5
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) q (tenant, alert_id, asset_id, rev)
where r.tenant = q.tenant and r.alert_id = q.alert_id
returning
    r.tenant, r.alert_id, r.integration_id, q.rev as "rev!", r.external_device_id, q.asset_id as "asset_id!", r.severity,
    r.status, r.dedup_key, r.occurrence_count, r.triggered_at, r.resolved_at
