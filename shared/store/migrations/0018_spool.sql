-- What: what the spool of each gateway holds.
-- Why: it lies on the gateway's own disk, where no operator looks.
-- Safe beside the running version: yes; a new table that the running version does not name.

set local lock_timeout = '2s';

-- One row per folder, by the gateway that has it, every ten seconds while it reaches Postgres. Of no tenant; undistributed under
-- Citus.
create table muster.spool (
    -- the name of the gateway's machine, and the folder there; the primary key's index takes no more
    host        text not null check (octet_length(host) between 1 and 255),
    folder      text not null check (octet_length(folder) between 1 and 2000),
    -- messages that wait for the broker, and those that it refused five times
    records     bigint not null check (records >= 0),
    set_aside   bigint not null check (set_aside >= 0),
    bytes       bigint not null check (bytes >= 0),
    -- when the oldest that waits came; null: none waits
    oldest_at   timestamptz,
    -- store::spool::Refusal; null: it takes more
    refusal     varchar(20),
    -- webhooks go to the spool and not to the broker
    is_spooling boolean not null,
    seen_at     timestamptz not null,
    primary key (host, folder)
) with (fillfactor = 50);
