-- Which asset each agent is, and as what it was read. $5..$9: agent, asset, site, digest, revision; sorted by agent, in the one order
-- in which every writer takes these rows.
insert into muster.agent as g
    (tenant, integration_id, agent_id, asset_id, external_client_id, site_name, digest, fetched_at, rev)
select $1, $2, n.agent_id, n.asset_id, $3, n.site_name, n.digest, $4::timestamptz, n.rev
from unnest($5::text[], $6::uuid[], $7::text[], $8::bytea[], $9::bigint[]) with ordinality
    as n (agent_id, asset_id, site_name, digest, rev, position)
order by n.position
on conflict (tenant, integration_id, agent_id) do update
set asset_id = excluded.asset_id,
    external_client_id = excluded.external_client_id,
    site_name = excluded.site_name,
    digest = excluded.digest,
    fetched_at = excluded.fetched_at,
    rev = excluded.rev,
    missing_since = null
