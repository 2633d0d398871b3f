-- What the connection's row says about syncing. $3: a run has just ended that read something; $4: it read every device.
-- The error is that of the last ended run of each kind: one kind's success does not hide another's failure.
-- $5: the kinds; the last run of each is looked up, since there are many of one that runs by itself.
with last as (
    select k.kind, r.state, r.error
    from unnest($5::text[]) k (kind)
    cross join lateral (
        select state, error
        from muster.run
        where tenant = $1 and integration_id = $2 and kind = k.kind and state in ('completed', 'partial', 'failed')
        order by slot desc
        limit 1
    ) r
),
said as (
    select string_agg(kind || ': ' || coalesce(error, 'failed'), '; ' order by kind desc)
               filter (where state <> 'completed') as error,
           exists (
               select from muster.run where tenant = $1 and integration_id = $2 and state = 'running'
           ) as is_running,
           count(*) > 0 as has_ended
    from last
)
update rmm_integrations i
set sync_status = case
        when said.is_running then 'syncing'
        when said.error is not null then 'error'
        when said.has_ended then 'completed'
        else i.sync_status
    end,
    sync_error = said.error,
    last_sync_at = case when $3 then now() else i.last_sync_at end,
    last_full_sync_at = case when $4 then now() else i.last_full_sync_at end,
    updated_at = now()
from said
where i.tenant = $1 and i.integration_id = $2
