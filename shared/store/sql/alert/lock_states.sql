-- Takes the alerts' locks in the order of their primary key, and writes nothing: a conflict locks the row also where the
-- condition is false, on as many shards as there are (`for update` is not to be had there). What comes back did not
-- exist.
insert into muster.alert_state as s (tenant, alert_id, integration_id)
select q.tenant, q.alert_id, q.integration_id
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) q (tenant, alert_id, integration_id)
order by q.tenant, q.alert_id
on conflict (tenant, alert_id) do update set facts = s.facts where false
returning s.alert_id
