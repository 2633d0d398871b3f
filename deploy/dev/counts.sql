-- What `./dev up` and `./dev status` say about the demo tenant (:'tenant') and about what waits.
select
    (select count(*) from rmm_alerts where tenant = :'tenant'),
    (select count(*) from rmm_alerts where tenant = :'tenant' and status not in ('resolved', 'auto_resolved')),
    (select count(*) from muster.outbox),
    (select coalesce(ceil(extract(epoch from now() - min(created_at))), 0)::bigint from muster.outbox),
    (select count(*) from muster.parked);
