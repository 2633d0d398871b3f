update muster.connection
set revision = revision + 1,
    server_epoch = server_epoch + $4::boolean::int,
    device_source = $3,
    -- $6: the URL before, where mappings exist that nobody has said a URL for: they are that server's
    confirmed_url = coalesce(confirmed_url, $6),
    -- $4: another server; $5: another login, which another server always is
    code_wanted_at = case when not $5::boolean then code_wanted_at end,
    login_refused_at = case when not $5 then login_refused_at end,
    -- whoever is logging in must not leave its token here
    login_claimed_until = case when not $5 then login_claimed_until end,
    login_not_before = case when not $4::boolean then login_not_before end,
    login_paid_until = case when not $4 then login_paid_until end,
    tested_at = case when not $4 then tested_at end,
    server_version = case when not $4 then server_version end,
    clients_visible = case when not $4 then clients_visible end,
    agents_visible = case when not $4 then agents_visible end
where tenant = $1 and integration_id = $2
