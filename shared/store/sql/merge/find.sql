-- Pairs of a missing agent and one that came later, of the same client and with the same serial number; each has an asset of
-- its own. $3: only those where either is of this client of
-- Tactical's: the old one may be of none any more, since another server took the place of its own.
select g.agent_id, o.agent_id as old_agent_id, a.serial_number as "serial_number!"
from muster.agent o
join assets b on b.tenant = o.tenant and b.asset_id = o.asset_id
join assets a on a.tenant = b.tenant and a.client_id = b.client_id and a.serial_number = b.serial_number
join muster.agent g on g.tenant = a.tenant and g.asset_id = a.asset_id and g.integration_id = o.integration_id
where o.tenant = $1 and o.integration_id = $2 and o.missing_since is not null
  and ($3::text is null or $3 in (o.external_client_id, g.external_client_id))
  and g.missing_since is null and g.first_seen_at > o.first_seen_at and a.asset_id <> b.asset_id
  and not exists (
      select from muster.merge_proposal p
      where p.tenant = o.tenant and p.integration_id = o.integration_id
        and p.agent_id = g.agent_id and p.old_agent_id = o.agent_id
  )
order by o.agent_id, g.agent_id
limit 1000
