-- The candidates of run $2 that count, strays aside. One whose site was not read counts once every part of its client is done:
-- a part that failed may be the one that would have shown it.
select c.agent_id
from muster.run_candidate c
where c.tenant = $1 and c.run_id = $2 and not c.is_seen and not c.is_stray
  and (c.of_client is null or not exists (
      select from muster.run_part p
      left join muster.site s
          on s.tenant = p.tenant and s.integration_id = $3 and s.site_id = split_part(p.name, ':', 2)
      where p.tenant = c.tenant and p.run_id = c.run_id and p.name like 'site:%'
        and coalesce(s.external_client_id, c.of_client) = c.of_client
        and not (p.state = 'done' and p.fetched_at is not null)
  ))
