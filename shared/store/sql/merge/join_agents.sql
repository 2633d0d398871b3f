-- The new agent $3 is the asset $5 of the old one $4. Its digest keeps the old agent's three marks of what people may
-- overwrite and no source's entry: the next list is compared field by field. So does its time: any later fetch is newer.
with old as (
    select digest, first_seen_at, agent_id, rev from muster.agent
    where tenant = $1 and integration_id = $2 and agent_id = $4
)
update muster.agent g
set asset_id = $5, digest = substring(old.digest from 1 for 24), first_seen_at = old.first_seen_at, missing_since = null,
    rev = greatest(g.rev, old.rev)
from old
where g.tenant = $1 and g.integration_id = $2 and g.agent_id = $3
