-- a role by its name, or that of the session
select r.oid as "oid!", r.rolname::text as "name!", r.rolsuper as "is_superuser!", r.rolcreaterole as "can_create_roles!",
       r.rolbypassrls as "bypasses_row_security!",
       array(select n.nspname || '.' || c.relname
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and n.nspname in ('muster', 'public') and not r.rolsuper
               and pg_has_role(r.oid, c.relowner, 'usage')
             order by 1) as "owned!: Vec<String>",
       array(select n.nspname::text from pg_namespace n
             where n.nspname in ('muster', 'public') and not has_schema_privilege(r.oid, n.oid, 'usage')
             order by 1) as "closed!: Vec<String>",
       array(select n.nspname || '.' || c.relname
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and n.nspname = 'muster' and c.relname <> 'migration'
               and not (has_table_privilege(r.oid, c.oid, 'select') and has_table_privilege(r.oid, c.oid, 'insert')
                        and has_table_privilege(r.oid, c.oid, 'update') and has_table_privilege(r.oid, c.oid, 'delete'))
             order by 1) as "limited!: Vec<String>"
from pg_roles r
where r.rolname = coalesce($1::text, current_user)
