-- Deletes at most $2 messages that were parked more than $1 seconds ago. What is held waits for its tenant and not for
-- a person: that is no question of age.
delete from muster.parked
where parked_id in (
    select parked_id from muster.parked
    where parked_at < now() - make_interval(secs => $1) and state = 'parked'
    order by parked_at
    limit $2
    for update skip locked
)
