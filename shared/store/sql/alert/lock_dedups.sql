-- Takes the dedup keys' locks in their order; a key that is there already is only locked. One that no alert has any
-- more, since its tenant was removed between the two steps of a batch, gets no row.
insert into muster.alert_dedup as d (tenant, integration_id, dedup_key)
select q.tenant, q.integration_id, q.dedup_key
from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
where exists (
    select from muster.alert_state s
    where s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
    offset 0
)
order by q.tenant, q.integration_id, q.dedup_key collate "C"
on conflict (tenant, integration_id, dedup_key) do update set renumbered_count = d.renumbered_count where false
