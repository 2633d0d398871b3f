-- The visible rows of a server that was replaced, under names that no other server's alert can have: $3 and the name that they
-- had, cut so that two long ones stay two.
update rmm_alerts
set external_alert_id = $3 || case
        when length(external_alert_id) <= 200 then external_alert_id
        else left(external_alert_id, 160) || '~' || md5(external_alert_id)
    end,
    updated_at = now()
where tenant = $1 and alert_id = any ($2)
