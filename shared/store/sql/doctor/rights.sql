-- what a role may do with the tables of Muster and AlgaPSA
select p.privilege as "privilege!", n.nspname || '.' || c.relname as "name!"
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as p (privilege)
where c.relkind in ('r', 'p') and n.nspname in ('muster', 'public')
  and has_table_privilege($1::oid, c.oid, p.privilege)
order by 2, 1
