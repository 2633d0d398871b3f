-- The states of the alerts of asset $2, which become those of $3: two more in the revision, as for one more fact, so that it
-- stays what alert.rs says it is.
with moved as (
    select alert_id from muster.alert_state where tenant = $1 and asset_id = $2 order by alert_id for no key update
)
update muster.alert_state s
set asset_id = $3, facts = s.facts + 1, rev = s.rev + 2, updated_rev = s.rev + 2
from moved
where s.tenant = $1 and s.alert_id = moved.alert_id
returning s.alert_id, s.rev
