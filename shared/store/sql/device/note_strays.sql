-- Agents that no list of run $2 should show, as candidates that only their own answer can confirm: under no client (any more),
-- of a client without a mapping, or of one that is to be read and that Tactical does not show. Those of a client that a person
-- has unmapped or switched off are left alone. $4: the second list is read in any case; else it is worth one an hour. At most
-- $5 of them, others in each run.
insert into muster.run_candidate (tenant, run_id, agent_id, since, is_stray)
select $1, $2, g.agent_id, now(), true
from muster.agent g
join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
left join rmm_organization_mappings m
    on m.tenant = g.tenant and m.integration_id = g.integration_id and m.external_organization_id = g.external_client_id
left join muster.run_part p
    on p.tenant = g.tenant and p.run_id = $2 and p.name = 'client:' || g.external_client_id
where g.tenant = $1 and g.integration_id = $3 and g.missing_since is null
  -- a part that has failed and never begun was planned so: its client is not shown
  and (m.external_organization_id is null or (p.state = 'failed' and p.attempt = 0))
  and ($4 or not exists (
      select from muster.run r
      join muster.run_part l on l.tenant = r.tenant and l.run_id = r.run_id
      where r.tenant = $1 and r.integration_id = $3 and r.kind = 'devices'
        and l.name = 'confirm' and l.finished_at > now() - interval '1 hour'
  ))
order by md5(g.agent_id || $2::text)
limit $5
on conflict (tenant, run_id, agent_id) do nothing
