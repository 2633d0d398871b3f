-- Locks the rows that are due, and their connections; at most $1, the longest due first. Nothing is waited for: a row that
-- another ticker has, or whose connection a batch has, is passed over and stays due. The lock of the connection comes second
-- here and first everywhere else, which is safe because it is not waited for. $2: the kinds that this
-- program knows; the others are a newer one's.
select s.tenant, s.integration_id, s.kind
from muster.schedule s
join muster.connection c on c.tenant = s.tenant and c.integration_id = s.integration_id
where s.next_due_at <= now() and s.kind = any ($2)
order by s.next_due_at
limit $1
for update of s skip locked
for no key update of c skip locked
