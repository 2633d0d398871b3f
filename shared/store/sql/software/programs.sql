-- One page of a tenant's programs by name, each with the number of devices that have it now. Only the page's own are
-- counted, unless the filter asks which have any.
select c.software_id, c.name, c.normalized_name, coalesce(c.publisher, '') as "publisher!", d.devices as "devices!"
from (
    select c.software_id, c.name, c.normalized_name, c.publisher
    from software_catalog c
    where c.tenant = $1
      and ($2::uuid is null or (c.normalized_name, c.software_id)
           > (select l.normalized_name, l.software_id from software_catalog l where l.tenant = $1 and l.software_id = $2))
      -- no pattern: a person's % and _ are just that
      and ($3::text is null or strpos(c.normalized_name, $3) > 0 or strpos(lower(coalesce(c.publisher, '')), $3) > 0)
      and ($4::bool is null or exists (
            select from asset_software s where s.tenant = $1 and s.software_id = c.software_id and s.is_current
      ) = $4)
    order by c.normalized_name, c.software_id
    limit $5
) c
cross join lateral (
    select count(*) as devices
    from asset_software s
    where s.tenant = $1 and s.software_id = c.software_id and s.is_current
    offset 0
) d
order by c.normalized_name, c.software_id
