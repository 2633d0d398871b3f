-- What: an index on the links between agents and assets in AlgaPSA's table, by agent.
-- Why: both unique indexes of that table begin with the same three columns. Until the table has statistics, which a first
--      sync does not wait for, the planner takes the one that ends with the asset, and reads all of a tenant's links for each
--      agent that it looks up. Two columns and no filter is less than either on any statistics.
-- Safe beside the running version: yes, but nobody can write links until the migration has ended; what waits there too long
--      is tried again.

set local lock_timeout = '2s';

create index muster_mappings_by_agent on public.tenant_external_entity_mappings (tenant, external_entity_id)
    where integration_type = 'tacticalrmm' and alga_entity_type = 'asset';
