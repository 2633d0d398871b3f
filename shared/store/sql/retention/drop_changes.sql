-- Deletes at most $2 rows of the history of software that are older than $1 seconds.
delete from muster.software_change
where (tenant, change_id) in (
    select tenant, change_id from muster.software_change
    where noticed_at < now() - make_interval(secs => $1)
    order by noticed_at
    limit $2
    for update skip locked
)
