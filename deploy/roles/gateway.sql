-- The rights that ingest-gateway needs, for a role of its own: `psql -v role=muster_gateway -f deploy/roles/gateway.sql`, after
-- `muster migrate`, and again after each later one. It reads hooks and schedules, starts runs and tells of its spool; it sees
-- no secret, no asset and no alert. `./dev test` runs a gateway's statements under a role with these rights and no others.
grant usage on schema public, muster to :role;
-- hooks, and whether their webhooks are recorded
grant select on muster.hook, muster.hook_version to :role;
grant select on public.rmm_integrations, public.tenants to :role;
-- ticks: what is due, what keeps it from running, the run and its message; locking a row needs the right to update it
grant select, update on muster.schedule, muster.connection to :role;
grant select on muster.reconcile_wish, muster.agent to :role;
grant select, insert, update on muster.run to :role;
grant select, insert on muster.outbox to :role;
-- what its spool holds, and those of gateways that are gone
grant select, insert, update, delete on muster.spool to :role;
