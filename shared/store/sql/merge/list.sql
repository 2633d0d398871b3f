-- Open proposals with both sides as they stand now. An old agent that came back, as on a restored server, is another machine's
-- for as long as it is there.
select
    p.proposal_id, p.integration_id, p.agent_id, p.old_agent_id, p.serial_number, p.proposed_at,
    a.asset_id as "asset_id?", a.name as "asset_name?", o.asset_id as "old_asset_id?", o.name as "old_asset_name?",
    og.missing_since as "old_missing_since?", coalesce(a.client_id, o.client_id) as "client_id?"
from muster.merge_proposal p
left join muster.agent g
    on g.tenant = p.tenant and g.integration_id = p.integration_id and g.agent_id = p.agent_id
left join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
left join muster.agent og
    on og.tenant = p.tenant and og.integration_id = p.integration_id and og.agent_id = p.old_agent_id
left join assets o on o.tenant = og.tenant and o.asset_id = og.asset_id
where p.tenant = $1 and p.state = 'open' and og.missing_since is not null
order by p.proposed_at, p.proposal_id
