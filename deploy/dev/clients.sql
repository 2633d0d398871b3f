-- The PSA clients that the demo tenant (:'tenant') lacks: one for each organisation of the simulated Tactical that is not
-- mapped and whose name no client has. Prints how many were made.
with made as (
    insert into clients (tenant, client_id, client_name)
    select m.tenant, gen_random_uuid(), min(m.external_organization_name)
    from rmm_organization_mappings m
    where m.tenant = :'tenant'
      and m.client_id is null
      and m.external_organization_name is not null
      and not exists (
          select from clients c
          where c.tenant = m.tenant and lower(c.client_name) = lower(m.external_organization_name))
    group by m.tenant, lower(m.external_organization_name)
    returning client_id
)
select count(*) from made;
