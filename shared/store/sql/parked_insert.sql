-- Keeps a message that nobody could work on. $1 tells one such message from another: the same one is kept once, however
-- often it is handed over.
insert into muster.parked (
    dedup, tenant, kind, message_id, class, reason, attempt, worker_version, state,
    exchange, routing_key, queue, headers, body, traceparent, first_published_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict (dedup) do nothing
