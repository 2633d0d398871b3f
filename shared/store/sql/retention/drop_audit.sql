-- Deletes at most $2 rows of the audit that are older than $1 seconds.
delete from muster.audit
where audit_id in (
    select audit_id from muster.audit
    where at < now() - make_interval(secs => $1)
    order by at
    limit $2
    for update skip locked
)
