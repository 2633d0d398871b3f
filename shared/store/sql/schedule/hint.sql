-- A webhook that could not name its alert wishes for a look at all of them: the schedule of alerts is due now, though not
-- within $1 seconds of the look before, not while the connection needs a person, and only where advance.sql would begin a
-- run: what it leaves stays due by its own slots, and its wish stands until then. At most $2 rows; those of another ticker
-- are left to it.
update muster.schedule s
set next_due_at = now()
from (
    select h.tenant, h.integration_id, h.kind
    from muster.reconcile_wish w
    join muster.schedule h on h.tenant = w.tenant and h.integration_id = w.integration_id and h.kind = 'alerts'
    join rmm_integrations i on i.tenant = h.tenant and i.integration_id = h.integration_id
    join tenants t on t.tenant = h.tenant
    join muster.connection c on c.tenant = h.tenant and c.integration_id = h.integration_id
    where w.wished_at is not null and h.next_due_at > now() and h.attention_at is null
      -- a look in the future is of a clock that was set back since
      and (h.last_slot is null or h.last_slot <= now() - make_interval(secs => $1) or h.last_slot > now())
      and i.is_active and i.instance_url is not null and t.suspended_at is null and c.held_at is null
    order by w.wished_at
    limit $2
    for update of h skip locked
) wished
where s.tenant = wished.tenant and s.integration_id = wished.integration_id and s.kind = wished.kind
