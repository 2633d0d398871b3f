-- Moves messages into the outbox: the relay publishes them with the broker's confirm and then deletes them there. They are
-- new ones to whoever reads them: no attempt burnt, first published now, without the headers of their deaths. Each has a
-- dedup name of its own, so that none is left out for a twin. $1 their ids, which the transaction has locked.
with gone as (
    delete from muster.parked where parked_id = any($1)
    returning parked_id, tenant, exchange, routing_key, kind, message_id, body, traceparent
)
insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body, traceparent)
select tenant, exchange, routing_key, kind, message_id, 'redrive:' || parked_id, body, left(traceparent, 255)
from gone
order by parked_id
