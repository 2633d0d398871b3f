-- Which of the named connections are the named tenant's, and whether they can be asked.
select
    i.tenant, i.integration_id, i.is_active,
    (i.settings ->> 'auth_mode') is not null as "has_api!",
    now() as "now!"
from unnest($1::uuid[], $2::uuid[]) q (tenant, integration_id)
join rmm_integrations i on i.tenant = q.tenant and i.integration_id = q.integration_id
