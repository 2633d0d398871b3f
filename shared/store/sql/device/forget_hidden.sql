-- Candidates whose client, or whose site of it, is none of the shown ones ($4 and $5, pairwise): nothing is known of them.
delete from muster.run_candidate c
using muster.agent g
where c.tenant = $1 and c.run_id = $2
  and g.tenant = c.tenant and g.integration_id = $3 and g.agent_id = c.agent_id
  and not exists (
      select from unnest($4::text[], $5::text[]) shown (client, site)
      where shown.client = g.external_client_id and (g.site_name is null or shown.site = g.site_name)
  )
