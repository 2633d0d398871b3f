-- After part $4 of run $3: since when the devices of its client are known to be as they are shown. A client that was read
-- in several parts is known once all of them are done, since the earliest; one with devices that were not in its list, once
-- another part has shown them (which the end of the run, $4 is null, looks at for all) or the part that confirms them is done
-- (which does this for all). A part without a time was left before its end, by a person's decision: its client is not known.
with part as (
    select p.name, p.state, p.fetched_at,
           coalesce(s.external_client_id, split_part(p.name, ':', 2)) as client
    from muster.run_part p
    left join muster.site s
        on s.tenant = p.tenant and s.integration_id = $2
        and p.name like 'site:%' and s.site_id = split_part(p.name, ':', 2)
    where p.tenant = $1 and p.run_id = $3 and (p.name like 'client:%' or p.name like 'site:%')
),
client as (
    select client, min(fetched_at) as fetched_at
    from part
    group by client
    having bool_and(state = 'done' and fetched_at is not null)
       and ($4::text is null or $4 = 'confirm' or bool_or(name = $4))
       and ($4 is not distinct from 'confirm' or not exists (
            select from muster.run_candidate c
            join muster.agent g on g.tenant = c.tenant and g.integration_id = $2 and g.agent_id = c.agent_id
            where c.tenant = $1 and c.run_id = $3 and not c.is_seen and g.external_client_id = part.client
       ))
)
update rmm_organization_mappings m
set last_synced_at = client.fetched_at
from client
where m.tenant = $1 and m.integration_id = $2 and m.external_organization_id = client.client
  and (m.last_synced_at is null or m.last_synced_at < client.fetched_at)
