-- A page of the alerts that are open here and were known before $3, each with where its device was last seen. An alert that
-- AlgaPSA knew and we did not has no state yet.
select
    r.alert_id, r.external_alert_id, r.external_device_id as agent_id, s.alert_time as "alert_time?",
    coalesce(g.external_client_id, r.metadata ->> 'client_id') as client_id,
    case when g.external_client_id is null then r.metadata ->> 'site_id' end as site_id, g.site_name as "site_name?"
from rmm_alerts r
left join muster.alert_state s on s.tenant = r.tenant and s.alert_id = r.alert_id
left join muster.agent g
    on g.tenant = r.tenant and g.integration_id = r.integration_id and g.agent_id = r.external_device_id
where r.tenant = $1 and r.integration_id = $2 and r.status in ('active', 'acknowledged', 'suppressed')
  and coalesce(s.opened_at, s.loose_opened_at, r.created_at) < $3
  and ($4::uuid is null or r.alert_id > $4)
order by r.alert_id
limit $5
