-- Locks the oldest messages of a selection; what somebody else has locked is left to them. $1 to $6 as in page.sql;
-- $7: only these ids; $8 the newest id that is meant: what is parked meanwhile is not; $9 rows at most; $10: only what can be
-- sent again, of which poison is none unless it was asked for by class or id; $11 bytes of a body at most.
select parked_id
from muster.parked
where ($1::uuid is null or tenant = $1)
  and ($2::text is null or kind = $2)
  and ($3::text is null or class = $3)
  and ($4::text is null or state = $4)
  and ($5::float8 is null or parked_at <= now() - make_interval(secs => $5))
  and ($6::float8 is null or parked_at >= now() - make_interval(secs => $6))
  and ($7::bigint[] is null or parked_id = any($7))
  and parked_id <= $8
  and (not $10::bool
       or (class <> 'poison' or $3::text is not null or $7::bigint[] is not null)
          and tenant is not null and octet_length(kind) between 1 and 255 and octet_length(message_id) between 1 and 255
          and octet_length(routing_key) <= 255 and octet_length(exchange) <= 255 and octet_length(body) <= $11)
order by parked_id
limit $9
for update skip locked
