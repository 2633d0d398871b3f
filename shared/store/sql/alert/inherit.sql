-- What people wrote on a row that turned out to be another's double goes to the one that stays, where it has nothing.
update rmm_alerts r
set ticket_id = coalesce(r.ticket_id, o.ticket_id),
    acknowledged_at = coalesce(r.acknowledged_at, o.acknowledged_at),
    acknowledged_by = coalesce(r.acknowledged_by, o.acknowledged_by),
    matched_rule_id = coalesce(r.matched_rule_id, o.matched_rule_id),
    auto_ticket_created = coalesce(r.auto_ticket_created, false) or coalesce(o.auto_ticket_created, false),
    status = case when r.status = 'active' and o.status in ('acknowledged', 'suppressed') then o.status else r.status end
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) q (tenant, gone_id, stays_id)
join rmm_alerts o on o.tenant = q.tenant and o.alert_id = q.gone_id
where r.tenant = q.tenant and r.alert_id = q.stays_id
