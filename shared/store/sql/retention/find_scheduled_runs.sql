-- As find_runs.sql, of those only that a schedule began and that are complete; they have an index of their own, so that what
-- is kept longer is not walked over each time.
select r.tenant, r.run_id
from muster.run r
where r.finished_at < now() - make_interval(secs => $1) and r.state = 'completed' and r.requested_by = 'schedule'
  and exists (
      select from muster.run n
      where n.tenant = r.tenant and n.integration_id = r.integration_id and n.kind = r.kind and n.slot > r.slot
        and n.state in ('completed', 'partial', 'failed')
  )
order by r.finished_at
limit $2
for update of r skip locked
