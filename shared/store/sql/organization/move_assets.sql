-- The assets of organisation $2 go over to client $3; with the agent of each, and the client that it had. Without an agent of
-- connection $4 it is AlgaPSA's alone.
with moved as (
    update assets a
    set client_id = $3, updated_at = now()
    from assets old
    where a.tenant = $1 and a.rmm_organization_id = $2 and a.rmm_provider = 'tacticalrmm' and a.client_id <> $3
      and old.tenant = a.tenant and old.asset_id = a.asset_id
    returning a.asset_id, old.client_id
)
select moved.asset_id as "asset_id!", moved.client_id as "previous_client_id!", g.agent_id as "agent_id?"
from moved
left join muster.agent g on g.tenant = $1 and g.asset_id = moved.asset_id and g.integration_id = $4
