-- Takes the oldest messages of the outbox that are due and nobody's, for the length of a lease.
-- $1 rows at most, $2 seconds of lease. A row that another relay is claiming right now is skipped; one that it has
-- claimed and committed meanwhile fails the condition, which `for update` looks at again.
with claimable as (
    select outbox_id
    from muster.outbox
    where available_at <= now() and (claimed_until is null or claimed_until <= now())
    order by outbox_id
    limit $1
    for update skip locked
)
update muster.outbox o
set claimed_until = now() + make_interval(secs => $2)
from claimable c
where o.outbox_id = c.outbox_id
returning o.outbox_id, o.tenant, o.exchange, o.routing_key, o.kind, o.message_id, o.body, o.traceparent, o.created_at
