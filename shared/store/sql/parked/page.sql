-- Parked messages, the newest first, without their bodies. $1 tenant, $2 kind, $3 class, $4 state, $5 seconds that they are
-- old at least and $6 at most; null: any. $7 below this id, $8 rows at most.
select parked_id, tenant, kind, message_id, class, reason, attempt, worker_version, state, queue, traceparent,
       first_published_at, parked_at, octet_length(body) as "body_bytes!"
from muster.parked
where ($1::uuid is null or tenant = $1)
  and ($2::text is null or kind = $2)
  and ($3::text is null or class = $3)
  and ($4::text is null or state = $4)
  and ($5::float8 is null or parked_at <= now() - make_interval(secs => $5))
  and ($6::float8 is null or parked_at >= now() - make_interval(secs => $6))
  and ($7::bigint is null or parked_id < $7)
order by parked_id desc
limit $8
