-- One parked message as it came. $2: only this tenant's; null: anybody's.
select parked_id, tenant, kind, message_id, class, reason, attempt, worker_version, state, exchange, routing_key, queue,
       headers, body, traceparent, first_published_at, parked_at
from muster.parked
where parked_id = $1 and ($2::uuid is null or tenant = $2)
