-- Runs of a tenant with the sums of their parts, newest first. $2: only this one. $4: only of this kind. $5: only in one of
-- these states. $6: only those after this one.
select
    r.run_id, r.integration_id, r.kind, r.state, r.epoch, r.requested_by, r.requested_at, r.started_at, r.progressed_at,
    r.finished_at, r.error,
    p.parts as "parts!", p.parts_done as "parts_done!", p.parts_failed as "parts_failed!", p.expected,
    p.seen as "seen!", p.created as "created!", p.updated as "updated!", p.moved as "moved!",
    p.unchanged as "unchanged!", p.missing as "missing!", p.unverifiable as "unverifiable!"
from muster.run r
cross join lateral (
    select
        count(*) as parts,
        count(*) filter (where state = 'done') as parts_done,
        count(*) filter (where state = 'failed') as parts_failed,
        sum(expected) as expected,
        coalesce(sum(seen), 0) as seen,
        coalesce(sum(created), 0) as created,
        coalesce(sum(updated), 0) as updated,
        coalesce(sum(moved), 0) as moved,
        coalesce(sum(unchanged), 0) as unchanged,
        coalesce(sum(missing), 0) as missing,
        coalesce(sum(unverifiable), 0) as unverifiable
    from muster.run_part
    where tenant = r.tenant and run_id = r.run_id
) p
where r.tenant = $1 and ($2::uuid is null or r.run_id = $2)
  and ($4::text is null or r.kind = $4)
  and ($5::text[] is null or r.state = any ($5))
  and ($6::uuid is null or (r.requested_at, r.run_id)
       < (select l.requested_at, l.run_id from muster.run l where l.tenant = $1 and l.run_id = $6))
order by r.requested_at desc, r.run_id desc
limit $3
