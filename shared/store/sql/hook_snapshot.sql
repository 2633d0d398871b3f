-- Every webhook of a provider with what decides whether it is open: for the copy that the gateway keeps in memory.
-- $1 the provider. One statement, so that version, hooks and clock belong to one moment; a left join, so that the version
-- comes also where no hook is.
select v.version,
       clock_timestamp() as "database_now!",
       h.tenant as "tenant?",
       h.integration_id as "integration_id?",
       h.digest as "digest?",
       h.previous_digest as "previous_digest?",
       h.previous_valid_until as "previous_valid_until?",
       h.is_active as "is_active?",
       h.is_suspended as "is_suspended?"
from muster.hook_version v
left join (
    select h.tenant, h.integration_id, h.digest, h.previous_digest, h.previous_valid_until,
           coalesce(i.is_active, false) as is_active,
           t.suspended_at is not null as is_suspended
    from muster.hook h
    join rmm_integrations i on i.tenant = h.tenant and i.integration_id = h.integration_id
    join tenants t on t.tenant = h.tenant
    where i.provider = $1
) h on true
order by h.tenant
