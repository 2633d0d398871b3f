-- the roles as which programs of Muster are connected to this database now
select usename::text as "role!", array_agg(distinct application_name order by application_name) as "programs!: Vec<String>"
from pg_stat_activity
where datname = current_database() and usename is not null and application_name = any($1::text[])
group by usename
order by 1
