-- Both sides of an open proposal, locked, where both still have an asset of their own and the old one is still missing.
select p.agent_id, p.old_agent_id, a.asset_id, o.asset_id as old_asset_id
from muster.merge_proposal p
join muster.agent g
    on g.tenant = p.tenant and g.integration_id = p.integration_id and g.agent_id = p.agent_id
join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
join muster.agent og
    on og.tenant = p.tenant and og.integration_id = p.integration_id and og.agent_id = p.old_agent_id
join assets o on o.tenant = og.tenant and o.asset_id = og.asset_id
where p.tenant = $1 and p.proposal_id = $2 and p.state = 'open' and a.asset_id <> o.asset_id
  and og.missing_since is not null
for no key update of p
