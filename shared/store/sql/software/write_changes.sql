-- The history of devices. $3..$8: asset, program, what happened, version before, version, revision of the report.
insert into muster.software_change
    (tenant, asset_id, software_id, change, previous_version, version, rev, noticed_at)
select $1, n.asset_id, n.software_id, n.change, n.previous_version, n.version, n.rev, $2::timestamptz
from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[]) with ordinality
    n (asset_id, software_id, change, previous_version, version, rev, position)
order by n.position
