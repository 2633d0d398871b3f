-- Forgets the digests of at most $2 secrets that were replaced and are no longer good, since $1 seconds.
update muster.hook
set previous_digest = null, previous_valid_until = null
where (tenant, integration_id) in (
    select tenant, integration_id from muster.hook
    where previous_valid_until < now() - make_interval(secs => $1)
    limit $2
    for update skip locked
)
