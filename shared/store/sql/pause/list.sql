-- The pauses in force, the oldest first, each with the messages that it holds. $1: only those that concern this tenant, and
-- only its messages; null: all.
select s.pause_id, s.tenant, s.kind, s.cause, s.paused_by, s.paused_at,
       (select count(*) from muster.parked p
        where p.state = 'held' and (s.tenant is null or p.tenant = s.tenant) and (s.kind is null or p.kind = s.kind)
          and ($1::uuid is null or p.tenant = $1)) as "held!"
from muster.pause s
where s.resumed_at is null and ($1::uuid is null or s.tenant is null or s.tenant = $1)
order by s.pause_id
