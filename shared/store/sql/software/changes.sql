-- One page of a tenant's software history, the newest first. Only the page's own devices and programs are looked up.
select h.change_id, h.asset_id, a.name as "asset_name?", h.software_id, c.name as "name?", c.publisher as "publisher?",
       h.change, h.previous_version, h.version, h.noticed_at
from (
    select h.*
    from muster.software_change h
    where h.tenant = $1
      and ($2::bigint is null or h.change_id < $2)
      and ($3::uuid is null or h.asset_id = $3)
      and ($4::uuid is null or h.software_id = $4)
      and ($5::text is null or h.change = $5)
      and ($6::timestamptz is null or h.noticed_at >= $6)
    order by h.change_id desc
    limit $7
) h
left join lateral (
    select a.name from assets a where a.tenant = $1 and a.asset_id = h.asset_id offset 0
) a on true
left join lateral (
    select c.name, c.publisher from software_catalog c where c.tenant = $1 and c.software_id = h.software_id offset 0
) c on true
order by h.change_id desc
