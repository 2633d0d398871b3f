-- How many messages a selection holds, how many of them can be sent again, and the newest id there is. $1 to $6 as in
-- page.sql; $7: only these ids; $8 bytes of a body at most. What is sendable is what take.sql takes.
select count(*) filter (where matches) as "total!",
       count(*) filter (
           where matches
             and (class <> 'poison' or $3::text is not null or $7::bigint[] is not null)
             and tenant is not null and octet_length(kind) between 1 and 255 and octet_length(message_id) between 1 and 255
             and octet_length(routing_key) <= 255 and octet_length(exchange) <= 255 and octet_length(body) <= $8
       ) as "sendable!",
       coalesce(max(parked_id), 0) as "up_to!"
from (
    select *,
           ($1::uuid is null or tenant = $1)
               and ($2::text is null or kind = $2)
               and ($3::text is null or class = $3)
               and ($4::text is null or state = $4)
               and ($5::float8 is null or parked_at <= now() - make_interval(secs => $5))
               and ($6::float8 is null or parked_at >= now() - make_interval(secs => $6))
               and ($7::bigint[] is null or parked_id = any($7)) as matches
    from muster.parked
) p
