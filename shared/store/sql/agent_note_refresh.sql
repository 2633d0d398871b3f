-- Notes that these agents should be fetched anew, now or as soon as their pause is over; who is noted already stays so,
-- unless that was an hour ago. Gives back those that were noted just now.
-- $1..$3: tenant, integration, agent; sorted and without duplicates. The clock is read in the select, since the update
-- part of an upsert may hold no function that is not immutable (Citus): what is overdue is overdue by an hour where the
-- new row's `refresh_not_before` says so, which for an agent that is made here is a stamp of the past and means nothing.
with noted as (
    insert into muster.agent (tenant, integration_id, agent_id, refresh_due_at, refresh_not_before)
    select tenant, integration_id, agent_id, now(), now() - interval '1 hour'
    from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as n (tenant, integration_id, agent_id, position)
    order by position
    on conflict (tenant, integration_id, agent_id) do update
    set refresh_due_at = greatest(excluded.refresh_due_at, agent.refresh_not_before)
    where agent.refresh_due_at is null or agent.refresh_due_at < excluded.refresh_not_before
    returning tenant, integration_id, agent_id, refresh_due_at
)
select
    n.tenant as "tenant!", n.integration_id as "integration_id!", n.agent_id as "agent_id!",
    n.refresh_due_at as "due_at!",
    coalesce(i.is_active and i.settings ->> 'auth_mode' is not null, false) as "has_api!"
from noted n
left join rmm_integrations i on i.tenant = n.tenant and i.integration_id = n.integration_id
