-- The locked alerts, each with what people may have made of its visible row.
select
    s.tenant, s.alert_id, s.integration_id, s.facts, s.digests, s.number, s.place,
    s.alert_time, s.opened_at, s.resolve_said_at, s.absent_at, s.open_polled_at, s.details,
    s.loose_opened_at, s.loose_resolve_said_at, s.loose_absent_at, s.loose_open_polled_at, s.loose_details,
    s.fetch_wanted_at, s.external_alert_id, s.agent_id, s.asset_id, s.dedup_key, s.opening_at, s.rev, s.retired_at,
    r.status as "row_status?", r.resolved_at as "row_resolved_at?", r.asset_id as "row_asset_id?",
    r.occurrence_count as "row_occurrence_count?"
from unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
left join rmm_alerts r on r.tenant = q.tenant and r.alert_id = q.alert_id
