update muster.connection c
set tested_at = now(),
    server_version = coalesce($3, c.server_version),
    clients_visible = coalesce($4, c.clients_visible),
    agents_visible = coalesce($5, c.agents_visible),
    -- with mappings there, whether they belong to this server is for the sync of the clients to find out
    confirmed_url = case
        when $6::boolean and not exists (
            select from rmm_organization_mappings m where m.tenant = c.tenant and m.integration_id = c.integration_id
        ) then $7
        else c.confirmed_url
    end
where c.tenant = $1 and c.integration_id = $2
