-- What a poll that came to its end has found, unless one that asked later has been noted. $6: a gap was noticed
insert into muster.alert_poll as p (tenant, integration_id, polled_at, undelivered, undelivered_at, backfill_wanted_at)
values ($1, $2, $3, $4, $5, case when $6 then $3::timestamptz end)
on conflict (tenant, integration_id) do update set
    polled_at = excluded.polled_at,
    undelivered = excluded.undelivered,
    undelivered_at = greatest(p.undelivered_at, excluded.undelivered_at),
    backfill_wanted_at = coalesce(p.backfill_wanted_at, excluded.backfill_wanted_at)
where p.polled_at is null or p.polled_at < excluded.polled_at
