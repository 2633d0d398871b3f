-- Deletes the bytes of at most $2 odd webhooks that came more than $1 seconds ago.
delete from muster.alert_raw
where (tenant, integration_id, digest) in (
    select tenant, integration_id, digest from muster.alert_raw
    where received_at < now() - make_interval(secs => $1)
    order by received_at
    limit $2
    for update skip locked
)
