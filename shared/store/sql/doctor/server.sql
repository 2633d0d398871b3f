-- who the server is and how this session reaches it
select current_setting('server_version_num')::integer / 10000 * 1000
           + current_setting('server_version_num')::integer % 10000 as "version_number!",
       current_setting('server_version') as "version!",
       coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as "is_encrypted!",
       coalesce(inet_client_addr() <<= '127.0.0.0/8' or inet_client_addr() = '::1'
                or inet_client_addr() = inet_server_addr(), true) as "is_local!",
       pg_is_in_recovery() as "is_standby!",
       (select sum(numbackends) from pg_stat_database)::bigint as "connections!",
       (current_setting('max_connections')::integer
           - current_setting('superuser_reserved_connections')::integer)::bigint as "connections_max!"
