-- Deletes at most $2 tokens that were revoked, or have expired, more than $1 seconds ago.
delete from muster.token
where token_id in (
    select token_id from muster.token
    where least(revoked_at, expires_at) < now() - make_interval(secs => $1)
    limit $2
    for update skip locked
)
