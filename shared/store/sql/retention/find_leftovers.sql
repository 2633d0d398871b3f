-- Of the oldest $2 messages of the outbox those that were due more than $1 seconds ago and that no relay has in hand.
-- Only the oldest: ids grow with time, and what is behind them has its turn in the next batch.
select o.outbox_id, o.tenant, o.exchange, o.routing_key, o.kind, o.message_id, o.body, o.traceparent, o.created_at
from muster.outbox o
where o.outbox_id in (select h.outbox_id from muster.outbox h order by h.outbox_id limit $2)
  and o.available_at < now() - make_interval(secs => $1) and (o.claimed_until is null or o.claimed_until <= now())
order by o.outbox_id
for update skip locked
