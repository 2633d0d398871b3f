-- Deletes those of the named dedup keys that no alert has any more.
delete from muster.alert_dedup
where (tenant, integration_id, dedup_key) in (
    select d.tenant, d.integration_id, d.dedup_key
    from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
    join muster.alert_dedup d
        on d.tenant = q.tenant and d.integration_id = q.integration_id and d.dedup_key = q.dedup_key
    where not exists (
        select from muster.alert_state s
        where s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
    )
    for update of d skip locked
)
