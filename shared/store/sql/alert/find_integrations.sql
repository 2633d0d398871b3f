-- Which of the named connections are the named tenant's, whether they can be asked, and whether a poll has once shown all of
-- their open alerts.
select
    i.tenant, i.integration_id, i.is_active,
    (i.settings ->> 'auth_mode') is not null as "has_api!",
    exists (
        select from muster.imported m
        where m.tenant = i.tenant and m.integration_id = i.integration_id and m.kind = 'alerts'
    ) as "is_imported!",
    now() as "now!"
from unnest($1::uuid[], $2::uuid[]) q (tenant, integration_id)
join rmm_integrations i on i.tenant = q.tenant and i.integration_id = q.integration_id
