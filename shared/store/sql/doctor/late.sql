-- active connections' schedules whose slot nobody has taken for two of their steps; one that fails steps once an hour
select s.tenant, s.kind, s.next_due_at as "due_at!", count(*) over () as "total!"
from muster.schedule s
join rmm_integrations i on i.tenant = s.tenant and i.integration_id = s.integration_id
join tenants t on t.tenant = s.tenant
where i.provider = $1 and i.is_active and t.suspended_at is null
  and s.next_due_at < now() - 2 * make_interval(secs => greatest(
      coalesce(s.interval_s, s.default_interval_s)::double precision,
      case when s.attention_at is null then 0 else $2::double precision end))
order by s.next_due_at, s.tenant, s.kind
limit $3
