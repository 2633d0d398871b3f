-- Deletes at most $2 pauses that ended more than $1 seconds ago. One in force has no age.
delete from muster.pause
where pause_id in (
    select pause_id from muster.pause
    where resumed_at < now() - make_interval(secs => $1)
    order by resumed_at
    limit $2
    for update skip locked
)
