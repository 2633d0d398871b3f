-- A webhook that could not name its alert wishes for a look at all of them: the schedule of alerts is due now, though not
-- within $1 seconds of the look before, and not while the connection needs a person. At most $2 rows; those of another ticker
-- are left to it.
update muster.schedule s
set next_due_at = now()
from (
    select h.tenant, h.integration_id, h.kind
    from muster.reconcile_wish w
    join muster.schedule h on h.tenant = w.tenant and h.integration_id = w.integration_id and h.kind = 'alerts'
    where w.wished_at is not null and h.next_due_at > now() and h.attention_at is null
      and (h.last_slot is null or h.last_slot <= now() - make_interval(secs => $1))
    order by w.wished_at
    limit $2
    for update of h skip locked
) wished
where s.tenant = wished.tenant and s.integration_id = wished.integration_id and s.kind = wished.kind
