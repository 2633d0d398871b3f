-- Links of the agents $3 under client $2 to other assets than $4: deleted ones, and those that AlgaPSA made a second time.
-- The unique index allows one link for an agent and a client. By place: see read_current.sql
delete from tenant_external_entity_mappings
where ctid = any (array(
    select stale.place
    from unnest($3::text[], $4::text[]) n (agent_id, asset_id)
    cross join lateral (
        select m.ctid as place
        from tenant_external_entity_mappings m
        where m.tenant = $1 and m.integration_type = 'tacticalrmm' and m.alga_entity_type = 'asset'
          and m.external_entity_id = n.agent_id and coalesce(m.external_realm_id, '') = $2
          and m.alga_entity_id <> n.asset_id
        offset 0
    ) stale
))
