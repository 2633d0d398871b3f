-- What: when each kind of run of each connection is due; whether a failure needs a person; how runs are listed.
-- Why: AlgaPSA's tables have no place for it, and what is read only when somebody asks for it grows old.
-- Safe beside the running version: yes; a new table, new columns that the running version does not name, an index, and
--      triggers on AlgaPSA's rmm_integrations that fire only where a connection is made, switched or deleted.

set local lock_timeout = '2s';

-- ---------------------------------------------------------------- schedules

-- One row per connection and kind of run, made and deleted with the connection. The gateways take what is due. Like hooks and
-- outbox it stays undistributed under Citus.
create table muster.schedule (
    tenant             uuid not null,
    integration_id     uuid not null,
    -- store::run::Kind
    kind               varchar(20) not null,
    -- what a person has set; null: the default
    interval_s         integer check (interval_s between 60 and 604800),
    -- that of devices follows the size of the fleet
    default_interval_s integer not null check (default_interval_s between 60 and 604800),
    is_enabled         boolean not null default true,
    -- where in its interval the slots lie, modulo the interval: by tenant and kind, so that not all are due at minute 0
    phase_s            integer not null check (phase_s between 0 and 604799),
    -- null: it does not tick (switched off, or the connection is not active)
    next_due_at        timestamptz,
    -- the last slot for which a run was started, or was not since there was one already
    last_slot          timestamptz,
    -- failures in a row that need a person and have the same cause, and since when
    failing_cause      text,
    failing_since      timestamptz,
    failing_count      integer not null default 0,
    -- there were enough of them: it ticks once an hour until a run succeeds
    attention_at       timestamptz,
    primary key (tenant, integration_id, kind)
) with (
    -- each tick moves a row within the index: the dead entries at its head are what makes the next look slow
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
create index schedule_due on muster.schedule (next_due_at) where next_due_at is not null;
-- the ticker looks for those every second
create index reconcile_wish_open on muster.reconcile_wish (wished_at) where wished_at is not null;

-- The first slot after a moment. Slots are phase_s modulo the interval past whole intervals since 1970, on no clock but the
-- database's: whoever computes one comes to the same.
create function muster.next_slot(after timestamptz, interval_s integer, phase_s integer) returns timestamptz
    language sql immutable strict parallel safe as $$
    select to_timestamp(
        (floor((extract(epoch from after - timestamptz '1970-01-01 00:00:00+00') - phase_s % interval_s) / interval_s) + 1)
            * interval_s + phase_s % interval_s
    )
$$;

-- Makes the schedules of a connection with their defaults, and lets them tick or not. The first slot of each comes within the
-- hour. What a person has set stays.
create function muster.set_schedules(of_tenant uuid, of_integration uuid, is_active boolean) returns void
    language sql security definer set search_path = '' as $$
    -- the row that batches and ticks lock
    insert into muster.connection (tenant, integration_id) values (of_tenant, of_integration)
    on conflict (tenant, integration_id) do nothing;
    insert into muster.schedule (tenant, integration_id, kind, default_interval_s, phase_s)
    select of_tenant, of_integration, kind, default_interval_s,
        ('x' || left(md5(of_tenant::text || ' ' || kind), 7))::bit(28)::integer % 604800
    from (values ('alerts', 300), ('clients', 3600), ('devices', 120), ('software', 86400)) known (kind, default_interval_s)
    on conflict (tenant, integration_id, kind) do nothing;
    update muster.schedule s
    set next_due_at = case when is_active and s.is_enabled then
            muster.next_slot(now(), least(coalesce(s.interval_s, s.default_interval_s), 3600), s.phase_s) end,
        failing_cause = null, failing_since = null, failing_count = 0, attention_at = null
    where s.tenant = of_tenant and s.integration_id = of_integration;
$$;

-- `security definer`, as in 0002: AlgaPSA's own role makes and switches connections, and has no rights in schema muster.
create function muster.follow_integration() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'DELETE' then
        delete from muster.schedule s where s.tenant = old.tenant and s.integration_id = old.integration_id;
    else
        perform muster.set_schedules(new.tenant, new.integration_id, new.is_active is true);
    end if;
    return null;
end
$$;
create trigger muster_schedule_made after insert on public.rmm_integrations
    for each row when (new.provider = 'tacticalrmm') execute function muster.follow_integration();
create trigger muster_schedule_switched after update on public.rmm_integrations
    for each row when (new.provider = 'tacticalrmm' and (old.is_active is true) <> (new.is_active is true))
    execute function muster.follow_integration();
create trigger muster_schedule_gone after delete on public.rmm_integrations
    for each row execute function muster.follow_integration();

-- connections that are there already
select muster.set_schedules(tenant, integration_id, is_active is true)
from public.rmm_integrations where provider = 'tacticalrmm'
order by tenant, integration_id;

-- ---------------------------------------------------------------- runs

-- the part failed for a cause that only a person can take away
alter table muster.run_part add column needs_attention boolean not null default false;
-- what is run by itself is run often: the list of runs must not sort them all
create index run_by_request on muster.run (tenant, requested_at desc, run_id desc);
