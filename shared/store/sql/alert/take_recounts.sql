-- Dedup keys that an alert has left; nobody waits for one that another already renumbers.
delete from muster.alert_recount
where recount_id in (
    select recount_id from muster.alert_recount order by recount_id limit 100 for update skip locked
)
returning tenant, integration_id, dedup_key
