-- Writes messages into the outbox; one whose dedup name stands there already is left out.
-- $1..$9: one array per column. Sorted by the key, so that two writers of the same keys wait and never deadlock.
insert into muster.outbox
    (tenant, exchange, routing_key, kind, message_id, dedup, body, traceparent, available_at)
select tenant, exchange, routing_key, kind, message_id, dedup, body, traceparent, coalesce(available_at, now())
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::timestamptz[]
) as n (tenant, exchange, routing_key, kind, message_id, dedup, body, traceparent, available_at)
order by dedup
on conflict (dedup) do nothing
