update muster.connection
set login_claimed_until = null,
    -- $4: a token, $5: a code is wanted, $6: user and password were refused
    code_wanted_at = case when $5::boolean then coalesce(code_wanted_at, now()) when not $4::boolean then code_wanted_at end,
    login_refused_at = case when $6::boolean then coalesce(login_refused_at, now()) when not $4 then login_refused_at end,
    login_not_before = greatest(login_not_before, now() + make_interval(secs => $7))
where tenant = $1 and integration_id = $2 and login_claimed_until = $3
