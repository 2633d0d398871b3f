-- Stops each of the kinds $1 of which more than $2 messages were parked within the last minute, and since it was resumed
-- last. One that is stopped already stays as it is. $3: who noticed. What no queue took or no broker would is no failure of
-- the kind. A resume that lies ahead is of a clock that was set back since.
insert into muster.pause (kind, cause, paused_by)
select p.kind, 'parks', left($3, 200)
from muster.parked p
where p.state = 'parked'
  and p.kind = any($1)
  and p.class not in ('unrouted', 'unpublished')
  and p.parked_at > now() - interval '1 minute'
  and p.parked_at > coalesce(
      (select max(s.resumed_at) from muster.pause s where s.kind = p.kind and s.tenant is null and s.resumed_at <= now()),
      '-infinity')
group by p.kind
having count(*) > $2
on conflict (tenant, kind) where resumed_at is null do nothing
returning kind as "kind!"
