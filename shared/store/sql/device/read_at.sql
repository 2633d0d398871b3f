-- When the parts of client $3 that have shown devices were fetched, in the last two runs: what such a part found unchanged it
-- has not written.
select max(p.fetched_at)
from muster.run_part p
left join muster.site s
    on s.tenant = p.tenant and s.integration_id = $2
    and p.name like 'site:%' and s.site_id = split_part(p.name, ':', 2)
where p.tenant = $1 and p.seen > 0
  and p.run_id in (
      select run_id from muster.run
      where tenant = $1 and integration_id = $2 and kind = 'devices' and started_at is not null
      order by slot desc
      limit 2
  )
  and (p.name = 'client:' || $3::text or s.external_client_id = $3)
