-- Changes a schedule. $4: the interval changes, to $5 (null: the default). $6: whether it is switched on, null: as it is.
-- $7: the connection is active. $8: seconds between two ticks at least while the connection needs a person. What stays as it
-- is keeps its next slot, also one that was called for earlier.
with wanted as (
    select s.tenant, s.integration_id, s.kind,
        case when $4 then $5 else s.interval_s end as interval_s,
        coalesce($6, s.is_enabled) as is_enabled,
        greatest(
            coalesce(case when $4 then $5 else s.interval_s end, s.default_interval_s),
            case when s.attention_at is not null then $8 else 0 end
        ) as step_s
    from muster.schedule s
    where s.tenant = $1 and s.integration_id = $2 and s.kind = $3
)
update muster.schedule s
set interval_s = w.interval_s, is_enabled = w.is_enabled,
    next_due_at = case
        when not (w.is_enabled and $7) then null
        when s.next_due_at is not null and s.interval_s is not distinct from w.interval_s then s.next_due_at
        else muster.next_slot(now(), w.step_s, s.phase_s)
    end
from wanted w
where s.tenant = w.tenant and s.integration_id = w.integration_id and s.kind = w.kind
