-- Tactical's client of site $3, else the one called $4.
select client
from (
    select external_client_id as client, 1 as rank
    from muster.site
    where tenant = $1 and integration_id = $2 and site_id = $3
    union all
    select external_organization_id, 2
    from rmm_organization_mappings
    where tenant = $1 and integration_id = $2 and external_organization_name = $4
      and not coalesce(metadata, '{}') ? 'vanished_at'
) found
order by rank, client
limit 1
