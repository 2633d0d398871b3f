-- Locks held messages that no pause holds any more, the oldest first, $1 at most.
select parked_id
from muster.parked p
where state = 'held'
  and not exists (
      select from muster.pause s
      where s.resumed_at is null and (s.tenant is null or s.tenant = p.tenant) and (s.kind is null or s.kind = p.kind)
  )
order by parked_id
limit $1
for update skip locked
