//! Who a request is from, and the two steps of logging in.

use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::accounts::{PASSWORD, totp_matches};
use super::clock::iso;
use super::reply::{self, crash, nothing, ok, refused};
use super::server::Call;
use super::world::World;

/// The caller as (user, session token), nobody, or the words of a 401.
type Caller = Result<Option<(String, Option<String>)>, &'static str>;

impl World {
    /// Knox first, then the API key; any other scheme counts as nothing.
    pub(super) fn authenticate(
        &mut self,
        authorization: Option<&str>,
        api_key: Option<&str>,
        now: DateTime<Utc>,
    ) -> Caller {
        let scheme = authorization.and_then(|header| header.split_once(' '));
        if let Some((_, token)) = scheme.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("token")) {
            let user = self.accounts.use_session(token.trim(), now).ok_or("Invalid token.")?;
            self.active(&user)?;
            return Ok(Some((user, Some(token.trim().to_owned()))));
        }
        let Some(key) = api_key else { return Ok(None) };
        let key = self.accounts.keys.get(key).ok_or("Invalid token.")?;
        self.active(&key.user)?;
        if key.expiration.is_some_and(|expiration| expiration < now) {
            return Err("The token has expired.");
        }
        Ok(Some((key.user.clone(), None)))
    }

    fn active(&self, user: &str) -> Result<(), &'static str> {
        let active = self.accounts.users.get(user).is_some_and(|user| user.active);
        if active { Ok(()) } else { Err("User inactive or deleted.") }
    }

    /// Whether a `Host` header names this server.
    pub(super) fn host_allowed(&self, host: &str) -> bool {
        let name = if host.starts_with('[') {
            host.split_once("]:").map_or(host, |(name, _)| name)
        } else {
            host.split(':').next().unwrap_or_default()
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        self.config
            .allowed_hosts
            .iter()
            .any(|allowed| allowed.trim_start_matches('[').trim_end_matches(']').eq_ignore_ascii_case(name))
    }
}

fn field<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// `POST /v2/checkcreds/`
pub(super) fn check_credentials(call: &Call) -> Response {
    // a missing user name is a KeyError
    let Some(username) = field(&call.body, "username") else { return crash() };
    let Some(password) = field(&call.body, "password") else {
        return reply::invalid("password", "This field is required.");
    };
    let mut world = call.shared.world();
    let now = world.now();
    match world.accounts.users.get(username) {
        Some(user) if password == PASSWORD && user.active && !user.block_dashboard_login => {
            if user.totp {
                return ok(&json!({"totp": true}));
            }
            let (token, expiry) = world.accounts.open_session(username, now, true);
            ok(&json!({"expiry": iso(expiry), "token": token, "totp": false}))
        }
        _ => refused("Bad credentials"),
    }
}

/// `POST /v2/login/`
pub(super) fn login(call: &Call) -> Response {
    for required in ["username", "password"] {
        if field(&call.body, required).is_none() {
            return reply::invalid(required, "This field is required.");
        }
    }
    let (username, password) =
        (field(&call.body, "username").unwrap_or_default(), field(&call.body, "password").unwrap_or_default());
    let mut world = call.shared.world();
    let now = world.now();
    let user = world.accounts.users.get(username).filter(|user| password == PASSWORD && user.active).cloned();
    let Some(user) = user else {
        return reply::invalid("non_field_errors", "Unable to log in with provided credentials.");
    };
    if user.block_dashboard_login {
        return refused("Bad credentials");
    }
    // a missing code is a KeyError, a user without a secret an exception of the TOTP library
    let code = match field(&call.body, "twofactor") {
        Some(code) if user.totp => code,
        _ => return crash(),
    };
    if !totp_matches(code, now) {
        return refused("Bad credentials");
    }
    let (token, expiry) = world.accounts.open_session(username, now, false);
    ok(&json!({"expiry": iso(expiry), "token": token, "username": username, "name": null}))
}

/// `POST /logout/`
pub(super) fn logout(call: &Call) -> Response {
    if let Some(token) = &call.token {
        call.shared.world().accounts.close_session(token);
    }
    nothing()
}

/// `POST /logoutall/`
pub(super) fn logout_all(call: &Call) -> Response {
    call.shared.world().accounts.close_sessions(Some(&call.user));
    nothing()
}
