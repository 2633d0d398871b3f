-- Lets the details of alerts go that were closed more than $1 seconds ago; at most $2. An alert that a batch has locked
-- is left to the next round. `offset 0`: the visible row is looked up for each that is old enough, not the other way
-- round.
with old as (
    select s.tenant, s.alert_id
    from muster.alert_state s
    where s.retired_at is null and s.opening_at < now() - make_interval(secs => $1)
      and exists (
          select from rmm_alerts r
          where r.tenant = s.tenant and r.alert_id = s.alert_id and r.status in ('resolved', 'auto_resolved')
            -- AlgaPSA may close one without saying when
            and coalesce(r.resolved_at, r.updated_at) < now() - make_interval(secs => $1)
          offset 0
      )
    order by s.opening_at
    limit $2
    for update of s skip locked
)
update muster.alert_state s
set retired_at = now(), details = '{}', loose_details = '{}', digests = '', fetch_wanted_at = null
from old
where s.tenant = old.tenant and s.alert_id = old.alert_id
