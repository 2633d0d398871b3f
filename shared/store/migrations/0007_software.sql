-- What: what each device reported as installed, every version of it, and what has changed since; how far a part has come.
-- Why: asset_software has one row for a program of a device, so that two versions of it side by side have no place there,
--      and neither have the report that a row is from and the history.
-- Safe beside the running version: yes; new tables, a new column that the running version does not name, and an index.

set local lock_timeout = '2s';

-- where a part that is done in steps goes on
alter table muster.run_part add column cursor varchar(255);

-- The last list of a device that was written; the same list again writes nothing.
create table muster.software_report (
    tenant         uuid not null,
    asset_id       uuid not null,
    -- hash over the list as it was written
    digest         bytea not null check (octet_length(digest) = 16),
    -- programs of the list, each version once
    programs       integer not null,
    -- grows with each list that differs from the one before
    rev            bigint not null default 1,
    -- on the database's clock, before the request that told of it
    fetched_at     timestamptz not null,
    first_fetched_at timestamptz not null,
    -- the list has come empty since then: believed once it stays so
    emptied_at     timestamptz,
    primary key (tenant, asset_id)
);

-- Every version that a device has now; asset_software shows the highest of each program.
create table muster.software_version (
    tenant        uuid not null,
    asset_id      uuid not null,
    software_id   uuid not null,
    -- empty: the installer does not tell
    version       varchar(100) not null,
    install_date  date,
    install_path  text,
    size_bytes    bigint,
    first_seen_at timestamptz not null,
    primary key (tenant, asset_id, software_id, version)
);

-- What appeared, changed its version or vanished on which device. A device's first list is no change.
create table muster.software_change (
    change_id        bigint generated always as identity,
    tenant           uuid not null,
    asset_id         uuid not null,
    software_id      uuid not null,
    change           varchar(10) not null check (change in ('installed', 'updated', 'removed')),
    -- of an update the one before
    previous_version varchar(100),
    -- the one that is there now; of a removal the one that was
    version          varchar(100) not null,
    -- muster.software_report.rev that shows it
    rev              bigint not null,
    -- when the list was fetched that shows it
    noticed_at       timestamptz not null,
    primary key (tenant, change_id)
);
create index software_change_by_asset on muster.software_change (tenant, asset_id, change_id desc);
create index software_change_by_program on muster.software_change (tenant, software_id, change_id desc);

-- on how many devices a program is
create index muster_asset_software_by_program on public.asset_software (tenant, software_id) where is_current;

-- An adopted database that lacks what an ingest writes is refused here, as in 0001.
do $$
declare
    missing text;
begin
    with needed (relation, columns) as (values
        ('software_catalog', 'tenant software_id name publisher normalized_name'),
        ('asset_software', 'tenant asset_id software_id version install_date install_path size_bytes first_seen_at '
            'last_seen_at is_current uninstalled_at')
    )
    select string_agg(relation || '.' || name, ', ' order by relation, name) into missing
    from needed, string_to_table(columns, ' ') name
    where not exists (
        select from pg_attribute a
        where a.attrelid = ('public.' || relation)::regclass and a.attname = name and not a.attisdropped
    );
    if missing is not null then
        raise exception 'cannot adopt this database: its tables lack %', missing;
    end if;
end
$$;
