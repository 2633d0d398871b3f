-- connections that something is wrong with; those of suspended tenants are left alone
select * from (
    select i.tenant, i.connected_at is not null and not i.is_active as "is_disconnected!", c.held_at, c.code_wanted_at,
           c.login_refused_at, case when i.sync_status = 'error' then coalesce(i.sync_error, 'unknown') end as sync_error,
           i.last_sync_at, h.tenant is null as "is_without_hook!",
           coalesce(p.undelivered, 0) as "undelivered!",
           array(select f.finding from muster.webhook_finding f
                 where f.tenant = i.tenant and f.integration_id = i.integration_id
                   and f.last_seen_at > now() - interval '1 day' order by 1) as "template_mistakes!: Vec<String>",
           count(*) over () as "total!"
    from rmm_integrations i
    join tenants t on t.tenant = i.tenant
    left join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
    left join muster.hook h on h.tenant = i.tenant and h.integration_id = i.integration_id
    left join muster.alert_poll p on p.tenant = i.tenant and p.integration_id = i.integration_id
    where i.provider = $1 and t.suspended_at is null
      and (i.is_active or i.connected_at is not null)
      and (not i.is_active or c.held_at is not null or c.code_wanted_at is not null or c.login_refused_at is not null
           or i.sync_status = 'error' or h.tenant is null or coalesce(p.undelivered, 0) > 0
           or exists (select from muster.webhook_finding f
                      where f.tenant = i.tenant and f.integration_id = i.integration_id
                        and f.last_seen_at > now() - interval '1 day'))
) as ailing
order by not "is_disconnected!" desc, tenant
limit $2
