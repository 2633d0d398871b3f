-- Adds up what was odd about a connection's webhooks: first and last time seen, and how often.
-- $1..$6: tenant, integration, finding, first seen, last seen, count; sorted and without duplicates.
insert into muster.webhook_finding (tenant, integration_id, finding, first_seen_at, last_seen_at, seen_count)
select tenant, integration_id, finding, first_seen_at, last_seen_at, seen_count
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int8[])
    with ordinality as n (tenant, integration_id, finding, first_seen_at, last_seen_at, seen_count, position)
order by position
on conflict (tenant, integration_id, finding) do update
set first_seen_at = least(webhook_finding.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(webhook_finding.last_seen_at, excluded.last_seen_at),
    seen_count = webhook_finding.seen_count + excluded.seen_count
