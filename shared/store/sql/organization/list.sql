-- A tenant's mappings by name, each with the devices that are imported under it.
select
    m.mapping_id, m.integration_id, m.external_organization_id, m.external_organization_name,
    c.client_id as "client_id?", c.client_name as "client_name?",
    coalesce(m.auto_sync_assets, true) as "auto_sync_assets!", m.metadata, m.last_synced_at,
    (
        select count(*)
        from muster.agent g
        where g.tenant = m.tenant and g.integration_id = m.integration_id
          and g.external_client_id = m.external_organization_id and g.asset_id is not null
    ) as "asset_count!"
from rmm_organization_mappings m
join rmm_integrations i on i.tenant = m.tenant and i.integration_id = m.integration_id and i.provider = 'tacticalrmm'
left join clients c on c.tenant = m.tenant and c.client_id = m.client_id
where m.tenant = $1
order by m.external_organization_name nulls last, m.external_organization_id
