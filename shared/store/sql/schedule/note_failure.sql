-- Counts a failure that needs a person. $4: its cause; another one than before begins anew, where "another" is more than
-- other numbers: a cause may say how many devices were listed, or how long ago a certificate ended. With $5 of them over $6
-- seconds the schedule slows down to one tick in $7 seconds.
with counted as (
    select s.tenant, s.integration_id, s.kind,
        case when w.is_same then s.failing_count + 1 else 1 end as failing_count,
        case when w.is_same then s.failing_since else now() end as failing_since
    from muster.schedule s
    cross join lateral (
        select regexp_replace(s.failing_cause, '[0-9]+', '0', 'g') = regexp_replace($4, '[0-9]+', '0', 'g') as is_same
    ) w
    where s.tenant = $1 and s.integration_id = $2 and s.kind = $3
)
update muster.schedule s
set failing_cause = $4, failing_count = c.failing_count, failing_since = c.failing_since,
    attention_at = case
        when s.attention_at is not null then s.attention_at
        when c.failing_count >= $5 and c.failing_since <= now() - make_interval(secs => $6) then now()
    end,
    next_due_at = case
        when s.next_due_at is not null and s.attention_at is null
            and c.failing_count >= $5 and c.failing_since <= now() - make_interval(secs => $6)
        then greatest(
            s.next_due_at,
            muster.next_slot(now(), greatest(coalesce(s.interval_s, s.default_interval_s), $7), s.phase_s)
        )
        else s.next_due_at
    end
from counted c
where s.tenant = c.tenant and s.integration_id = c.integration_id and s.kind = c.kind
