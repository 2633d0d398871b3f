-- The states of the renamed rows; whoever waits for one of these locks sees by the number that its name leads there no more.
update muster.alert_state s
set number = r.external_alert_id, external_alert_id = r.external_alert_id
from rmm_alerts r
where s.tenant = $1 and s.alert_id = any ($2) and r.tenant = s.tenant and r.alert_id = s.alert_id
