-- Deletes at most $2 parts of runs that ended more than $1 seconds ago. The last ended run of each kind of a connection
-- is what its status is read from, and stays.
with old as (
    select p.tenant, p.run_id, p.name
    from muster.run r
    join muster.run_part p on p.tenant = r.tenant and p.run_id = r.run_id
    where r.finished_at < now() - make_interval(secs => $1) and r.state in ('completed', 'partial', 'failed')
      and exists (
          select from muster.run n
          where n.tenant = r.tenant and n.integration_id = r.integration_id and n.kind = r.kind and n.slot > r.slot
            and n.state in ('completed', 'partial', 'failed')
      )
    order by r.finished_at
    limit $2
    for update of p skip locked
)
delete from muster.run_part p
using old
where p.tenant = old.tenant and p.run_id = old.run_id and p.name = old.name
