-- Slots lie at most one step ahead. What lies farther is of a clock that was set back since, or of a server with another
-- one: such schedules go on by the clock that is here now. $1: seconds between two ticks at least while the connection needs
-- a person. At most $2 rows; those of a ticker are left to the next call.
update muster.schedule s
set next_due_at = muster.next_slot(now(), far.step_s, s.phase_s)
from (
    select f.tenant, f.integration_id, f.kind, e.step_s
    from muster.schedule f
    cross join lateral (
        select greatest(
            coalesce(f.interval_s, f.default_interval_s), case when f.attention_at is not null then $1 else 0 end
        ) as step_s
    ) e
    where f.next_due_at > now() + make_interval(secs => e.step_s)
    limit $2
    for update of f skip locked
) far
where s.tenant = far.tenant and s.integration_id = far.integration_id and s.kind = far.kind
