-- The versions that devices have. $3..$8: asset, program, version, install date, path, size; sorted by asset and program.
insert into muster.software_version (
    tenant, asset_id, software_id, version, install_date, install_path, size_bytes, first_seen_at
)
select $1, n.asset_id, n.software_id, n.version, n.install_date, n.install_path, n.size_bytes, $2::timestamptz
from unnest($3::uuid[], $4::uuid[], $5::text[], $6::date[], $7::text[], $8::bigint[])
    n (asset_id, software_id, version, install_date, install_path, size_bytes)
on conflict (tenant, asset_id, software_id, version) do update
set install_date = excluded.install_date,
    install_path = excluded.install_path,
    size_bytes = excluded.size_bytes
