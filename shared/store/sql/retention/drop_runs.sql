-- Deletes at most $2 runs that ended more than $1 seconds ago and have nothing left below them. The last ended run of
-- each kind of a connection is what its status is read from, and stays.
with old as (
    select r.tenant, r.run_id
    from muster.run r
    where r.finished_at < now() - make_interval(secs => $1) and r.state in ('completed', 'partial', 'failed')
      and exists (
          select from muster.run n
          where n.tenant = r.tenant and n.integration_id = r.integration_id and n.kind = r.kind and n.slot > r.slot
            and n.state in ('completed', 'partial', 'failed')
      )
      and not exists (select from muster.run_part p where p.tenant = r.tenant and p.run_id = r.run_id)
      and not exists (select from muster.run_candidate c where c.tenant = r.tenant and c.run_id = r.run_id)
    order by r.finished_at
    limit $2
    for update of r skip locked
)
delete from muster.run r
using old
where r.tenant = old.tenant and r.run_id = old.run_id
