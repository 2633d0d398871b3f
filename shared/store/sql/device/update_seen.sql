-- Devices that were seen again: three adjacent columns without an index, so that the new version stays on its page and the
-- log holds little more than them. $3..$5: asset, status, last seen. By place: see read_current.sql; a row that somebody has
-- just changed is left out, and the batch reads again.
update assets a
set agent_status = coalesce(n.agent_status, a.agent_status),
    last_seen_at = n.last_seen_at,
    last_rmm_sync_at = $2
from (
    select n.agent_status, n.last_seen_at, old.place
    from unnest($3::uuid[], $4::text[], $5::timestamptz[]) n (asset_id, agent_status, last_seen_at)
    cross join lateral (
        select o.ctid as place from assets o where o.tenant = $1 and o.asset_id = n.asset_id offset 0
    ) old
) n
where a.ctid = n.place
