-- Moves locked schedules to their next slot, and tells what is to become of the one that is due. A statement after the one
-- that has locked them, so that it sees what was committed before the lock.
--
-- $1..$3: the keys. $4: seconds between two ticks at least while the connection needs a person. $5: the longest step, in
-- seconds, of a schedule that has never had anything to run.
with due as (
    select s.*,
        case when s.attention_at is null then coalesce(s.interval_s, s.default_interval_s)
            else greatest(coalesce(s.interval_s, s.default_interval_s), $4) end as step_s
    from unnest($1::uuid[], $2::uuid[], $3::text[]) k (tenant, integration_id, kind)
    join muster.schedule s on s.tenant = k.tenant and s.integration_id = k.integration_id and s.kind = k.kind
),
judged as (
    select d.tenant, d.integration_id, d.kind, d.step_s, d.next_due_at as due_at,
        -- missed slots are one; a tick that was called for earlier is for its own moment
        greatest(d.next_due_at, muster.next_slot(now(), d.step_s, d.phase_s) - make_interval(secs => d.step_s)) as slot,
        case
            when i.is_active is not true then 'inactive'
            when t.suspended_at is not null then 'suspended'
            when i.instance_url is null then 'incomplete'
            when c.held_at is not null and d.kind <> 'clients' then 'held'
            when d.kind = 'software' and not exists (
                select from muster.agent g where g.tenant = d.tenant and g.integration_id = d.integration_id
            ) then 'no_devices'
        end as left_because
    from due d
    join muster.connection c on c.tenant = d.tenant and c.integration_id = d.integration_id
    left join rmm_integrations i on i.tenant = d.tenant and i.integration_id = d.integration_id
    left join tenants t on t.tenant = d.tenant
)
update muster.schedule s
set last_slot = case when j.left_because is null then j.slot else s.last_slot end,
    next_due_at = case
        when j.left_because = 'inactive' then null
        when j.left_because is not null and s.last_slot is null
            then muster.next_slot(now(), least(j.step_s, $5), s.phase_s)
        else muster.next_slot(now(), j.step_s, s.phase_s)
    end
from judged j
left join lateral (
    select r.run_id, r.requested_at, greatest(r.requested_at, r.started_at, r.progressed_at) as moved_at
    from muster.run r
    where r.tenant = j.tenant and r.integration_id = j.integration_id and r.kind = j.kind
      and r.state in ('queued', 'running')
) o on true
left join lateral (
    -- a slot in the future is of a clock that was set back since
    select r.slot from muster.run r
    where r.tenant = j.tenant and r.integration_id = j.integration_id and r.kind = j.kind and r.slot <= now()
    order by r.slot desc
    limit 1
) p on true
where s.tenant = j.tenant and s.integration_id = j.integration_id and s.kind = j.kind
returning s.tenant, s.integration_id, s.kind, j.slot as "slot!", j.left_because,
    coalesce(p.slot >= j.slot, false) as "is_superseded!",
    o.run_id as "open_run_id?", o.requested_at as "open_requested_at?", o.moved_at as "open_moved_at?",
    now() as "now!", extract(epoch from now() - j.due_at)::float8 as "late_s!"
