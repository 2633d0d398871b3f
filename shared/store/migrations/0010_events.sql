-- What: a revision of each device, and what was imported once.
-- Why: readers of events tell by the revision which of two is newer; what is there when Muster first looks is told as one
--      import and not one by one, so it must be known what was looked at before.
-- Safe beside the running version: yes; a column with a constant default that the running version does not name, and a new
--      table.

set local lock_timeout = '2s';

-- grows with each event about the agent's device; assets are AlgaPSA's
alter table muster.agent add column rev bigint not null default 0;

-- Where no row stands, what is found there is told as one import.
create table muster.imported (
    tenant         uuid not null,
    integration_id uuid not null,
    -- devices | alerts; what a device has installed is known by muster.software_report
    kind           varchar(20) not null,
    -- of devices Tactical's number of the client; else empty
    scope          varchar(255) not null,
    imported_at    timestamptz not null default now(),
    primary key (tenant, integration_id, kind, scope)
);

-- what the version before has read is no news
insert into muster.imported (tenant, integration_id, kind, scope)
select m.tenant, m.integration_id, 'devices', m.external_organization_id
from rmm_organization_mappings m
where m.last_synced_at is not null and exists (
    select from muster.agent g
    where g.external_client_id = m.external_organization_id and g.tenant = m.tenant
      and g.integration_id = m.integration_id and g.digest is not null
);
insert into muster.imported (tenant, integration_id, kind, scope)
select tenant, integration_id, 'alerts', '' from muster.alert_poll where polled_at is not null;
