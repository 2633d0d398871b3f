-- What `./dev up` and `./dev status` say about the demo tenant (:'tenant'), since the fleet was started (:'started'), and
-- about what waits.
select
    (select count(*) from rmm_alerts where tenant = :'tenant'),
    (select count(*) from rmm_alerts where tenant = :'tenant' and updated_at >= :'started'),
    (select count(*) from rmm_alerts where tenant = :'tenant' and status not in ('resolved', 'auto_resolved')),
    (select coalesce(ceil(extract(epoch from now() - min(created_at))), 0)::bigint from muster.outbox),
    (select count(*) from muster.parked);
