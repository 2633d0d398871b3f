-- Notes that these agents should be fetched anew, now or as soon as their pause is over; who is noted already stays so.
-- $1..$3: tenant, integration, agent; sorted and without duplicates. The clock is read in the select, since the update
-- part of an upsert may hold no function that is not immutable (Citus).
insert into muster.agent (tenant, integration_id, agent_id, refresh_due_at)
select tenant, integration_id, agent_id, now()
from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as n (tenant, integration_id, agent_id, position)
order by position
on conflict (tenant, integration_id, agent_id) do update
set refresh_due_at = greatest(excluded.refresh_due_at, agent.refresh_not_before)
where agent.refresh_due_at is null
