-- One page of what device $2 has by name; $3: also what it had.
select s.software_id, c.name, c.normalized_name, coalesce(c.publisher, '') as "publisher!", s.version, s.install_date,
       s.install_path, s.size_bytes, s.first_seen_at as "first_seen_at!",
       case when s.is_current then null else coalesce(s.uninstalled_at, s.last_seen_at) end as uninstalled_at
from asset_software s
cross join lateral (
    select c.name, c.normalized_name, c.publisher
    from software_catalog c
    where c.tenant = $1 and c.software_id = s.software_id
    offset 0
) c
where s.tenant = $1 and s.asset_id = $2 and (s.is_current or $3)
  and ($4::uuid is null or (c.normalized_name, s.software_id)
       > (select l.normalized_name, l.software_id from software_catalog l where l.tenant = $1 and l.software_id = $4))
order by c.normalized_name, s.software_id
limit $5
