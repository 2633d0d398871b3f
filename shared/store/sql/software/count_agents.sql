-- How many agents a walk asks: the conditions are those of next_agents.sql.
select count(*) as "count!"
from muster.agent g
where g.tenant = $1 and g.integration_id = $2 and g.asset_id is not null and g.missing_since is null
  and exists (
    select from rmm_organization_mappings m
    where m.tenant = $1 and m.integration_id = $2 and m.external_organization_id = g.external_client_id
      and m.client_id is not null and coalesce(m.auto_sync_assets, true)
      and not coalesce(m.metadata, '{}') ? 'vanished_at'
  )
  and not exists (
    select from workstation_assets w
    where w.tenant = $1 and w.asset_id = g.asset_id and lower(w.os_type) in ('linux', 'macos')
  )
  and not exists (
    select from server_assets s
    where s.tenant = $1 and s.asset_id = g.asset_id and lower(s.os_type) in ('linux', 'macos')
  )
