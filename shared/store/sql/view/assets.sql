-- One page of a tenant's devices, by asset id.
select a.asset_id, a.client_id, c.client_name as "client_name?", a.asset_tag, a.name, a.asset_type, a.serial_number,
       a.status, a.location, a.rmm_device_id as agent_id, a.rmm_organization_id as organization_id,
       m.external_organization_name as "organization_name?", a.agent_status, a.last_seen_at,
       g.missing_since as "missing_since?",
       case when g.missing_since is null then greatest(a.last_rmm_sync_at, l.last_synced_at)
            else a.last_rmm_sync_at end as status_observed_at,
       coalesce(w.os_version, s.os_version) as os_version,
       coalesce(w."current_user", s."current_user") as "current_user",
       a.updated_at as "updated_at!", now() as "database_now!"
from assets a
left join clients c on c.tenant = a.tenant and c.client_id = a.client_id
left join rmm_integrations i on i.tenant = a.tenant and i.provider = $2
left join muster.agent g
    on g.tenant = a.tenant and g.integration_id = i.integration_id and g.agent_id = a.rmm_device_id
    and g.asset_id = a.asset_id
left join rmm_organization_mappings m
    on m.tenant = a.tenant and m.integration_id = i.integration_id
    and m.external_organization_id = coalesce(g.external_client_id, a.rmm_organization_id)
-- whose list tells how the device is: none, where the agent has left its client or is hidden, or is another asset by now
left join rmm_organization_mappings l
    on l.tenant = a.tenant and l.integration_id = i.integration_id and l.external_organization_id = g.external_client_id
left join workstation_assets w on w.tenant = a.tenant and w.asset_id = a.asset_id
left join server_assets s on s.tenant = a.tenant and s.asset_id = a.asset_id
where a.tenant = $1
  and a.rmm_provider = $2
  and ($3::uuid is null or a.asset_id > $3)
  and ($4::text is null or (a.agent_status = $4 and g.missing_since is null))
  and ($5::uuid is null or a.client_id = $5)
  and ($6::text is null or a.asset_type = $6)
  and ($7::bool is null or (g.missing_since is not null) = $7)
  -- no pattern: a person's % and _ are just that
  and ($8::text is null or strpos(lower(a.name), lower($8)) > 0
       or strpos(lower(coalesce(a.serial_number, '')), lower($8)) > 0
       or strpos(lower(coalesce(w."current_user", s."current_user", '')), lower($8)) > 0)
  -- a status that changed does not move updated_at
  and ($9::timestamptz is null or greatest(a.updated_at, a.last_rmm_sync_at) >= $9)
order by a.asset_id
limit $10
