-- The programs of devices, each with its highest version. $3..$8: asset, program, version, install date, path, size; sorted by
-- asset and program. One that was gone is back, and keeps the moment when it was seen first.
insert into asset_software as s (
    tenant, asset_id, software_id, version, install_date, install_path, size_bytes, first_seen_at, last_seen_at, is_current,
    uninstalled_at
)
select $1, n.asset_id, n.software_id, nullif(n.version, ''), n.install_date, n.install_path, n.size_bytes, $2::timestamptz, $2,
       true, null
from unnest($3::uuid[], $4::uuid[], $5::text[], $6::date[], $7::text[], $8::bigint[])
    n (asset_id, software_id, version, install_date, install_path, size_bytes)
on conflict (tenant, asset_id, software_id) do update
set version = excluded.version,
    install_date = excluded.install_date,
    install_path = excluded.install_path,
    size_bytes = excluded.size_bytes,
    last_seen_at = excluded.last_seen_at,
    is_current = true,
    uninstalled_at = null
