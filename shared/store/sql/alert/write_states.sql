-- The states as they are now known. Everybody who could write one of these rows waits for its lock.
insert into muster.alert_state as s (
    tenant, alert_id, integration_id, rev, facts, digests, number, place,
    alert_time, opened_at, resolve_said_at, absent_at, open_polled_at, details,
    loose_opened_at, loose_resolve_said_at, loose_absent_at, loose_open_polled_at, loose_details,
    fetch_wanted_at, external_alert_id, agent_id, asset_id, dedup_key, opening_at,
    opened_rev, updated_rev, resolved_rev, reopened_rev
)
select
    q.tenant, q.alert_id, q.integration_id, q.rev, q.facts, q.digests, q.number, q.place,
    q.alert_time, q.opened_at, q.resolve_said_at, q.absent_at, q.open_polled_at, q.details,
    q.loose_opened_at, q.loose_resolve_said_at, q.loose_absent_at, q.loose_open_polled_at, q.loose_details,
    q.fetch_wanted_at, q.external_alert_id, q.agent_id, q.asset_id, q.dedup_key, q.opening_at,
    q.opened_rev, q.updated_rev, q.resolved_rev, q.reopened_rev
from jsonb_to_recordset($1) q (
    tenant uuid, alert_id uuid, integration_id uuid, rev bigint, facts bigint, digests bytea, number text, place text,
    alert_time timestamptz, opened_at timestamptz, resolve_said_at timestamptz, absent_at timestamptz,
    open_polled_at timestamptz, details jsonb,
    loose_opened_at timestamptz, loose_resolve_said_at timestamptz, loose_absent_at timestamptz,
    loose_open_polled_at timestamptz, loose_details jsonb,
    fetch_wanted_at timestamptz, external_alert_id text, agent_id text, asset_id uuid, dedup_key text,
    opening_at timestamptz, opened_rev bigint, updated_rev bigint, resolved_rev bigint, reopened_rev bigint
)
order by q.tenant, q.alert_id
on conflict (tenant, alert_id) do update set
    rev = excluded.rev,
    facts = excluded.facts,
    digests = excluded.digests,
    number = excluded.number,
    place = excluded.place,
    alert_time = excluded.alert_time,
    opened_at = excluded.opened_at,
    resolve_said_at = excluded.resolve_said_at,
    absent_at = excluded.absent_at,
    open_polled_at = excluded.open_polled_at,
    details = excluded.details,
    loose_opened_at = excluded.loose_opened_at,
    loose_resolve_said_at = excluded.loose_resolve_said_at,
    loose_absent_at = excluded.loose_absent_at,
    loose_open_polled_at = excluded.loose_open_polled_at,
    loose_details = excluded.loose_details,
    fetch_wanted_at = excluded.fetch_wanted_at,
    retired_at = null,
    external_alert_id = excluded.external_alert_id,
    agent_id = excluded.agent_id,
    asset_id = excluded.asset_id,
    dedup_key = excluded.dedup_key,
    opening_at = excluded.opening_at,
    opened_rev = coalesce(excluded.opened_rev, s.opened_rev),
    updated_rev = coalesce(excluded.updated_rev, s.updated_rev),
    resolved_rev = coalesce(excluded.resolved_rev, s.resolved_rev),
    reopened_rev = coalesce(excluded.reopened_rev, s.reopened_rev)
where s.rev < excluded.rev
returning s.alert_id
