-- Keeps the bytes of odd webhooks; what comes back had not been kept before.
insert into muster.alert_raw (tenant, integration_id, digest, received_at, agent_id, reasons, raw)
select q.tenant, q.integration_id, q.digest, q.received_at, q.agent_id, string_to_array(q.reasons, ' '), q.raw
from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::bytea[])
    q (tenant, integration_id, digest, received_at, agent_id, reasons, raw)
order by q.tenant, q.integration_id, q.digest
on conflict (tenant, integration_id, digest) do nothing
returning tenant, integration_id, digest
