-- The catalogue's ids of programs. $2, $3: normalised name, publisher (empty where none is told). A row that somebody else
-- made without a publisher is the one with an empty one; of both the one with the text.
select n.name as "name!", n.publisher as "publisher!", c.software_id
from unnest($2::text[], $3::text[]) n (name, publisher)
cross join lateral (
    select c.software_id
    from software_catalog c
    where c.tenant = $1 and c.normalized_name = n.name and coalesce(c.publisher, '') = n.publisher
    order by c.publisher nulls last, c.software_id
    limit 1
) c
