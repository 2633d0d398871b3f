-- Deletes those of the named dedup keys that no alert has any more; their locks are held.
delete from muster.alert_dedup d
using unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
where d.tenant = q.tenant and d.integration_id = q.integration_id and d.dedup_key = q.dedup_key
  and not exists (
      select from muster.alert_state s
      where s.tenant = q.tenant and s.integration_id = q.integration_id and s.dedup_key = q.dedup_key
  )
