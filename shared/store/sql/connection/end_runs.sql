-- the epoch grows: whoever works on the run finds its fence gone and writes nothing more
with ended as (
    update muster.run
    set state = 'failed', error = $3, finished_at = now(), epoch = epoch + 1
    where tenant = $1 and integration_id = $2 and state in ('queued', 'running')
    returning tenant, run_id
)
update muster.run_part p
set state = 'failed', error = $3, finished_at = now()
from ended
where p.tenant = ended.tenant and p.run_id = ended.run_id and p.state = 'open'
