-- Drops the open parts of run $2 that are not planned any more ($3: those that are). What they have created, moved or marked
-- is done, and nobody will find it so again: it counts for the first planned part. What they have read, others read again.
with dropped as (
    delete from muster.run_part
    where tenant = $1 and run_id = $2 and state = 'open' and name <> 'confirm' and name <> all ($3)
    returning created, moved, missing
),
done as (
    select coalesce(sum(created), 0) as created, coalesce(sum(moved), 0) as moved, coalesce(sum(missing), 0) as missing
    from dropped
)
update muster.run_part p
set created = p.created + done.created, moved = p.moved + done.moved, missing = p.missing + done.missing
from done
where p.tenant = $1 and p.run_id = $2 and p.name = ($3::text[])[1] and done.created + done.moved + done.missing > 0
