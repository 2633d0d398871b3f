-- Of the clients that run $3 has read to their end, in one part or several, those that no run had before: noted, and given
-- back with how many devices their parts have shown. A part without a time was left before its end.
with part as (
    select p.state, p.fetched_at, p.seen, coalesce(s.external_client_id, split_part(p.name, ':', 2)) as client
    from muster.run_part p
    left join muster.site s
        on s.tenant = p.tenant and s.integration_id = $2
        and p.name like 'site:%' and s.site_id = split_part(p.name, ':', 2)
    where p.tenant = $1 and p.run_id = $3 and (p.name like 'client:%' or p.name like 'site:%')
),
client as (
    select client, sum(seen) as seen
    from part
    group by client
    having bool_and(state = 'done' and fetched_at is not null)
),
noted as (
    insert into muster.imported (tenant, integration_id, kind, scope)
    select $1, $2, 'devices', client from client order by client
    on conflict (tenant, integration_id, kind, scope) do nothing
    returning scope
)
select noted.scope as client, client.seen as "seen!", coalesce(m.external_organization_name, '') as "label!"
from noted
join client on client.client = noted.scope
left join rmm_organization_mappings m
    on m.tenant = $1 and m.integration_id = $2 and m.external_organization_id = noted.scope
