-- The agents that the list of client $3, or of site $4 and type $5, should show: those with an asset, not missing already.
-- is_fresh: something was written of them since $6. of_client: not of this site, but of none that run $7 reads either, since
-- their site was deleted or renamed; then any site of their client may show them.
-- Site names come with and without the space around them.
select g.agent_id, coalesce(g.fetched_at >= $6, false) or coalesce(a.last_rmm_sync_at >= $6, false) as "is_fresh!",
       case when not here.is_here then g.external_client_id end as of_client
from muster.agent g
cross join lateral (
    select $3::text is not null or coalesce(btrim(g.site_name, E' \t\r\n') = (
        select btrim(s.name, E' \t\r\n') from muster.site s
        where s.tenant = $1 and s.integration_id = $2 and s.site_id = $4
    ), false) as is_here
) here
join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
where g.tenant = $1 and g.integration_id = $2 and g.missing_since is null
  and g.external_client_id = coalesce($3, (
      select s.external_client_id from muster.site s
      where s.tenant = $1 and s.integration_id = $2 and s.site_id = $4
  ))
  and case when here.is_here
      then $5::text is null or a.asset_type = $5
      else btrim(coalesce(g.site_name, ''), E' \t\r\n') <> all (array(
          select btrim(s.name, E' \t\r\n')
          from muster.site read
          join muster.site s
              on s.tenant = read.tenant and s.integration_id = read.integration_id
              and s.external_client_id = read.external_client_id
          join muster.run_part p
              on p.tenant = s.tenant and p.run_id = $7 and p.name like 'site:%'
              and split_part(p.name, ':', 2) = s.site_id
          where read.tenant = $1 and read.integration_id = $2 and read.site_id = $4
      ))
  end
