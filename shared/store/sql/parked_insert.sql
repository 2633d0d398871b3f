-- Keeps messages that nobody could work on, or that wait. $1 tells one such message from another: the same one is kept once,
-- however often it is handed over. They are written in its order, so that two who write the same ones never deadlock.
insert into muster.parked (
    dedup, tenant, kind, message_id, class, reason, attempt, worker_version, state,
    exchange, routing_key, queue, headers, body, traceparent, first_published_at
)
select *
from unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::jsonb[], $14::bytea[], $15::text[], $16::timestamptz[]
) new (dedup)
order by new.dedup collate "C"
on conflict (dedup) do nothing
