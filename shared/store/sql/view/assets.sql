-- One page of a tenant's devices, by asset id. `offset 0` fences each look-up and the order in which they are made, row by
-- row of the page: see fleet.sql
select d.asset_id as "asset_id!", d.client_id as "client_id!", c.client_name as "client_name?", d.asset_tag as "asset_tag!",
       d.name as "name!", d.asset_type, d.serial_number, d.status as "status!", d.location, d.rmm_device_id as agent_id,
       d.rmm_organization_id as organization_id, m.external_organization_name as "organization_name?", d.agent_status,
       d.last_seen_at, d.missing_since as "missing_since?",
       case when d.missing_since is null then greatest(d.last_rmm_sync_at, l.last_synced_at)
            else d.last_rmm_sync_at end as status_observed_at,
       d.os_version, d."current_user", d.updated_at as "updated_at!", now() as "database_now!"
from (
    select a.*, i.integration_id, g.external_client_id, g.missing_since,
           coalesce(w.os_version, s.os_version) as os_version,
           coalesce(w."current_user", s."current_user") as "current_user"
    from (
        select a.asset_id, a.client_id, a.asset_tag, a.name, a.asset_type, a.serial_number, a.status, a.location,
               a.rmm_device_id, a.rmm_organization_id, a.agent_status, a.last_seen_at, a.last_rmm_sync_at, a.updated_at
        from assets a
        where a.tenant = $1
          and a.rmm_provider = $2
          and ($3::uuid is null or a.asset_id > $3)
          and ($5::uuid is null or a.client_id = $5)
          and ($6::text is null or a.asset_type = $6)
          -- a status that changed does not move updated_at
          and ($9::timestamptz is null or greatest(a.updated_at, a.last_rmm_sync_at) >= $9)
        order by a.asset_id
        offset 0
    ) a
    cross join lateral (
        select (select integration_id from rmm_integrations where tenant = $1 and provider = $2) as integration_id
    ) i
    left join lateral (
        select g.external_client_id, g.missing_since
        from muster.agent g
        where g.tenant = $1 and g.integration_id = i.integration_id and g.agent_id = a.rmm_device_id
          and g.asset_id = a.asset_id
        offset 0
    ) g on true
    left join lateral (
        select w.os_version, w."current_user" from workstation_assets w where w.tenant = $1 and w.asset_id = a.asset_id offset 0
    ) w on true
    left join lateral (
        select s.os_version, s."current_user" from server_assets s where s.tenant = $1 and s.asset_id = a.asset_id offset 0
    ) s on true
    where ($4::text is null or (a.agent_status = $4 and g.missing_since is null))
      and ($7::bool is null or (g.missing_since is not null) = $7)
      -- no pattern: a person's % and _ are just that
      and ($8::text is null or strpos(lower(a.name), lower($8)) > 0
           or strpos(lower(coalesce(a.serial_number, '')), lower($8)) > 0
           or strpos(lower(coalesce(w."current_user", s."current_user", '')), lower($8)) > 0)
    order by a.asset_id
    limit $10
) d
left join lateral (
    select c.client_name from clients c where c.tenant = $1 and c.client_id = d.client_id offset 0
) c on true
left join lateral (
    select m.external_organization_name
    from rmm_organization_mappings m
    where m.tenant = $1 and m.integration_id = d.integration_id
      and m.external_organization_id = coalesce(d.external_client_id, d.rmm_organization_id)
    offset 0
) m on true
-- whose list tells how the device is: none, where the agent has left its client or is hidden, or is another asset by now
left join lateral (
    select l.last_synced_at
    from rmm_organization_mappings l
    where l.tenant = $1 and l.integration_id = d.integration_id and l.external_organization_id = d.external_client_id
    offset 0
) l on true
order by d.asset_id
