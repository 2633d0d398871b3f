-- At most $2 runs that ended more than $1 seconds ago, the oldest first. The last ended run of each kind of a connection is
-- what its status is read from, and stays.
select r.tenant, r.run_id
from muster.run r
where r.finished_at < now() - make_interval(secs => $1) and r.state in ('completed', 'partial', 'failed')
  and exists (
      select from muster.run n
      where n.tenant = r.tenant and n.integration_id = r.integration_id and n.kind = r.kind and n.slot > r.slot
        and n.state in ('completed', 'partial', 'failed')
  )
order by r.finished_at
limit $2
for update of r skip locked
