-- Mappings of Tactical's clients. $3..$5: number, name, our part of the metadata. What a person has assigned or switched
-- stays; one that is listed again is not vanished any more.
insert into rmm_organization_mappings as m
    (tenant, integration_id, external_organization_id, external_organization_name, auto_sync_assets, metadata)
select $1, $2, n.id, n.name, true, n.metadata
from unnest($3::text[], $4::text[], $5::jsonb[]) n (id, name, metadata)
on conflict (tenant, integration_id, external_organization_id) do update
set external_organization_name = excluded.external_organization_name,
    metadata = coalesce(m.metadata, '{}') - 'vanished_at' || excluded.metadata,
    updated_at = now()
