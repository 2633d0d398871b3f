-- The agents that the list of client $3, or of site $4 and type $5, should show: those with an asset, not missing already,
-- of which nothing was written since $6.
select g.agent_id
from muster.agent g
join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
where g.tenant = $1 and g.integration_id = $2 and g.missing_since is null
  and (g.fetched_at is null or g.fetched_at < $6)
  and (a.last_rmm_sync_at is null or a.last_rmm_sync_at < $6)
  and (
    g.external_client_id = $3
    or (g.external_client_id, g.site_name) = (
        select s.external_client_id, s.name from muster.site s
        where s.tenant = $1 and s.integration_id = $2 and s.site_id = $4
    )
  )
  and ($5::text is null or a.asset_type = $5)
