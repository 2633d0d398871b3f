-- Devices that were seen again: three adjacent columns without an index, so that the new version stays on its page and the
-- log holds little more than them. $3..$5: asset, status, last seen.
update assets a
set agent_status = coalesce(n.agent_status, a.agent_status),
    last_seen_at = n.last_seen_at,
    last_rmm_sync_at = $2
from unnest($3::uuid[], $4::text[], $5::timestamptz[]) n (asset_id, agent_status, last_seen_at)
where a.tenant = $1 and a.asset_id = n.asset_id
