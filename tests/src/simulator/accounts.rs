//! Users, roles, API keys and session tokens.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::dice::Dice;

/// API keys that every simulated server has, one per kind of role.
pub mod key {
    /// A superuser's.
    pub const ADMIN: &str = "SIMULATORKEYADMIN000000000000000";
    /// May list everything, but sees only client 1.
    pub const LIMITED: &str = "SIMULATORKEYLIMITED0000000000000";
    /// Exactly what a sync needs, and resolving alerts.
    pub const SYNC: &str = "SIMULATORKEYSYNC0000000000000000";
    /// A user without a role: everything is 403, except the version and the dashboard's facts.
    pub const NO_ROLE: &str = "SIMULATORKEYNOROLE00000000000000";
    /// A role that allows nothing.
    pub const EMPTY_ROLE: &str = "SIMULATORKEYEMPTYROLE00000000000";
    /// Expired long ago.
    pub const EXPIRED: &str = "SIMULATORKEYEXPIRED0000000000000";
    /// Belongs to an inactive user.
    pub const INACTIVE: &str = "SIMULATORKEYINACTIVE000000000000";
}

/// Everybody's password.
pub const PASSWORD: &str = "Simulated-Passw0rd!";
/// The TOTP secret of the user `totp` (20 bytes, SHA-1, six digits, 30 s).
pub const TOTP_SECRET: [u8; 20] = *b"simulated-otp-secret";

/// How long a session lives after its last extension, and how far extensions lie apart.
const SESSION: TimeDelta = TimeDelta::hours(5);
const SETUP_SESSION: TimeDelta = TimeDelta::minutes(3);
const EXTENSION_GAP: TimeDelta = TimeDelta::minutes(10);

/// What a careful operator gives to the key of a sync and the coverage: what they ask for, and what later work will.
const SYNC_PERMISSIONS: [&str; 9] = [
    "can_list_agents",
    "can_list_clients",
    "can_list_sites",
    "can_list_alerts",
    "can_list_software",
    "can_list_checks",
    "can_list_alerttemplates",
    "can_run_urlactions",
    "can_manage_alerts",
];

/// What a role allows.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// Allows everything and sees everything.
    pub is_superuser: bool,
    /// `can_*` names.
    pub permissions: BTreeSet<String>,
    /// Clients that it sees; with `view_sites` empty too: all.
    pub view_clients: BTreeSet<i64>,
    /// Sites that it sees.
    pub view_sites: BTreeSet<i64>,
}

impl Role {
    /// A role with these permissions that sees everything.
    #[must_use]
    pub fn with(permissions: &[&str]) -> Self {
        Self { permissions: permissions.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }

    /// Whether it may do something.
    #[must_use]
    pub fn allows(&self, permission: &str) -> bool {
        self.is_superuser || self.permissions.contains(permission)
    }

    /// Whether it sees everything.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.is_superuser || (self.view_clients.is_empty() && self.view_sites.is_empty())
    }

    /// Whether it sees a site of a client.
    #[must_use]
    pub fn sees(&self, client: i64, site: i64) -> bool {
        self.sees_all() || self.view_clients.contains(&client) || self.view_sites.contains(&site)
    }
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) role: Option<String>,
    pub(super) active: bool,
    pub(super) totp: bool,
    pub(super) block_dashboard_login: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ApiKey {
    pub(super) user: String,
    pub(super) expiration: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
struct Session {
    user: String,
    expiry: DateTime<Utc>,
    extended: DateTime<Utc>,
}

/// All accounts of a server.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) users: BTreeMap<String, User>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) keys: BTreeMap<String, ApiKey>,
    sessions: HashMap<String, Session>,
    seed: u64,
    sessions_made: i64,
}

impl Accounts {
    /// The accounts behind [`key`], and the users `totp`, `plain` (no TOTP yet) and `integration` (may not log in).
    pub(super) fn standard(seed: u64, now: DateTime<Utc>) -> Self {
        let mut all = Self {
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            keys: BTreeMap::new(),
            sessions: HashMap::new(),
            seed,
            sessions_made: 0,
        };
        let sync = Role::with(&SYNC_PERMISSIONS);
        all.roles.insert("admin".to_owned(), Role { is_superuser: true, ..Role::default() });
        all.roles.insert("limited".to_owned(), Role { view_clients: BTreeSet::from([1]), ..sync.clone() });
        all.roles.insert("sync".to_owned(), sync);
        all.roles.insert("empty".to_owned(), Role::default());
        let mut user = |name: &str, role: Option<&str>, key: Option<&str>| {
            let user = User {
                role: role.map(str::to_owned),
                active: true,
                totp: name == "totp",
                block_dashboard_login: key.is_some() && name != "admin",
            };
            all.users.insert(name.to_owned(), user);
            if let Some(key) = key {
                all.keys.insert(key.to_owned(), ApiKey { user: name.to_owned(), expiration: None });
            }
        };
        user("admin", Some("admin"), Some(key::ADMIN));
        user("limited", Some("limited"), Some(key::LIMITED));
        user("integration", Some("sync"), Some(key::SYNC));
        user("norole", None, Some(key::NO_ROLE));
        user("emptyrole", Some("empty"), Some(key::EMPTY_ROLE));
        user("expired", Some("admin"), Some(key::EXPIRED));
        user("inactive", Some("admin"), Some(key::INACTIVE));
        user("totp", Some("sync"), None);
        user("plain", Some("sync"), None);
        if let Some(key) = all.keys.get_mut(key::EXPIRED) {
            key.expiration = Some(now - TimeDelta::days(30));
        }
        if let Some(user) = all.users.get_mut("inactive") {
            user.active = false;
        }
        all
    }

    /// The role of a user.
    pub(super) fn role_of(&self, user: &str) -> Option<&Role> {
        self.roles.get(self.users.get(user)?.role.as_ref()?)
    }

    /// Opens a session and answers (token, expiry); `setup` lives for three minutes until its first use.
    pub(super) fn open_session(&mut self, user: &str, now: DateTime<Utc>, setup: bool) -> (String, DateTime<Utc>) {
        self.sessions_made += 1;
        let token = Dice::new(self.seed ^ 0x70c3, self.sessions_made).hex(1, 64).to_lowercase();
        let expiry = now + if setup { SETUP_SESSION } else { SESSION };
        // a set-up token is extended on its first use
        let extended = if setup { now - EXTENSION_GAP } else { now };
        self.sessions.insert(token.clone(), Session { user: user.to_owned(), expiry, extended });
        (token, expiry)
    }

    /// The user of a living session, which this use extends (at most every ten minutes).
    pub(super) fn use_session(&mut self, token: &str, now: DateTime<Utc>) -> Option<String> {
        let session = self.sessions.get_mut(token).filter(|session| session.expiry > now)?;
        if now >= session.extended + EXTENSION_GAP {
            (session.expiry, session.extended) = (now + SESSION, now);
        }
        Some(session.user.clone())
    }

    /// Ends one session.
    pub(super) fn close_session(&mut self, token: &str) {
        self.sessions.remove(token);
    }

    /// Ends all sessions of a user, or (`None`) of everybody, as an update of the server does.
    pub(super) fn close_sessions(&mut self, user: Option<&str>) {
        self.sessions.retain(|_, session| user.is_some_and(|user| session.user != user));
    }
}

/// The TOTP code of the user `totp` at a time.
#[must_use]
pub fn totp_code(at: DateTime<Utc>) -> String {
    totp().generate(at.timestamp().unsigned_abs()).to_string()
}

/// Whether a code is one of ten steps round a time; a code may be used again.
pub(super) fn totp_matches(code: &str, at: DateTime<Utc>) -> bool {
    totp().check(code, at.timestamp().unsigned_abs()).is_some()
}

fn totp() -> totp_rs::Totp {
    totp_rs::Builder::new().with_secret(TOTP_SECRET).with_skew(10).build_noncompliant()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_slides_while_it_is_used_and_dies_after_five_hours() {
        let start: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        let mut accounts = Accounts::standard(1, start);
        let (token, _) = accounts.open_session("totp", start, false);
        assert_eq!(token.len(), 64);
        let hours = TimeDelta::hours;
        assert!(accounts.use_session(&token, start + hours(4)).is_some());
        assert!(accounts.use_session(&token, start + hours(8)).is_some(), "the use at four hours extended it");
        assert!(accounts.use_session(&token, start + hours(13)).is_none());
        let (setup, _) = accounts.open_session("plain", start, true);
        assert!(accounts.use_session(&setup, start + TimeDelta::minutes(2)).is_some());
        assert!(accounts.use_session(&setup, start + hours(4)).is_some(), "a set-up token becomes a full one");
    }

    #[test]
    fn a_code_is_good_for_five_minutes_either_way() {
        let now: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        let code = totp_code(now);
        assert!(code.len() == 6 && totp_matches(&code, now + TimeDelta::minutes(5)) && totp_matches(&code, now));
        assert!(!totp_matches(&code, now + TimeDelta::minutes(6)));
    }
}
