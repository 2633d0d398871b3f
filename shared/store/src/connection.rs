//! A connection to Tactical: its settings, its state, its one login at a time.
//!
//! What AlgaPSA shows stands in its `rmm_integrations` (URL, whether it is active, how the last sync ended); what is Muster's
//! own stands beside it in `muster.connection`. Whoever changes both locks the row of `muster.connection` first, as every
//! batch of a sync does: so a disconnect comes before or after a batch, never into it.

mod login;
mod save;
mod state;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::{Error, Store, origin};

pub use login::{Login, LoginBy, LoginClaim, LoginEnd, LoginRules, claim_login, finish_login};
pub(crate) use save::save_in;
pub use save::{Save, SaveEnd, Saved, save};
pub(crate) use state::end_claims;
pub use state::{TestNote, disconnect, note_test};

/// How Muster says to Tactical who it is. `rmm_integrations.settings->>'auth_mode'`, AlgaPSA's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// With an API key.
    ApiKey,
    /// With user and password, and the token that a login answers.
    Knox,
}

impl AuthMode {
    /// The word that stands in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Knox => "knox",
        }
    }

    /// The mode of a word; any other word, or none, is an API key, as in AlgaPSA.
    #[must_use]
    pub fn from_word(word: Option<&str>) -> Self {
        if word == Some("knox") { Self::Knox } else { Self::ApiKey }
    }
}

/// Where a sync reads devices from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceSource {
    /// `GET /agents/?client=`: small, with Tactical's own status.
    Classic,
    /// `GET /beta/v1/agent/`: large, off by default in Tactical, ignores what the role may see.
    Beta,
}

impl DeviceSource {
    /// The word that stands in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Beta => "beta",
        }
    }

    fn from_word(word: &str) -> Self {
        if word == "beta" { Self::Beta } else { Self::Classic }
    }
}

/// Everything about a connection that is not secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Whose.
    pub tenant: Uuid,
    /// Which.
    pub integration_id: Uuid,
    /// Tactical's API host, as it was entered.
    pub instance_url: Option<String>,
    /// A test has succeeded since the last disconnect.
    pub is_active: bool,
    /// The tenant is suspended.
    pub is_suspended: bool,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// Where devices are read from.
    pub device_source: DeviceSource,
    /// All of AlgaPSA's settings, an object.
    pub settings: serde_json::Value,
    /// When it became active.
    pub connected_at: Option<DateTime<Utc>>,
    /// When a sync last ended completely or in part.
    pub last_sync_at: Option<DateTime<Utc>>,
    /// When a sync of all devices last ended completely.
    pub last_full_sync_at: Option<DateTime<Utc>>,
    /// AlgaPSA's; nobody here writes it.
    pub last_incremental_sync_at: Option<DateTime<Utc>>,
    /// pending, syncing, completed or error.
    pub sync_status: Option<String>,
    /// Why the last sync failed.
    pub sync_error: Option<String>,
    /// The URL that the mappings are known to belong to.
    pub confirmed_url: Option<String>,
    /// Since when another server seems to stand behind it.
    pub held_at: Option<DateTime<Utc>>,
    /// Old and new clients side by side, for the person who decides.
    pub held: Option<serde_json::Value>,
    /// Since when it waits for a person's TOTP code.
    pub code_wanted_at: Option<DateTime<Utc>>,
    /// Since when user and password are known to be refused.
    pub login_refused_at: Option<DateTime<Utc>>,
    /// No login before then: the server throttles.
    pub login_not_before: Option<DateTime<Utc>>,
    /// When it was tested last.
    pub tested_at: Option<DateTime<Utc>>,
    /// What the last test read.
    pub server_version: Option<String>,
    /// Clients that the last successful test saw.
    pub clients_visible: Option<i32>,
    /// Agents that the last successful test saw.
    pub agents_visible: Option<i32>,
    /// Grows with each save and disconnect.
    pub revision: i64,
    /// Which server stands behind it: raised with each other one.
    pub server_epoch: i64,
    /// The database's clock when it was read, which all stamps here are on.
    pub database_now: DateTime<Utc>,
}

/// A tenant's connection.
///
/// # Errors
/// What the database said.
pub async fn find(store: &Store, tenant: Uuid) -> Result<Option<Connection>, Error> {
    let row = sqlx::query_file!("sql/connection/find.sql", tenant, PROVIDER);
    let row = store.run(format!("find the connection of tenant {tenant}"), row.fetch_optional(store.pool())).await?;
    Ok(row.map(|row| Connection {
        tenant: row.tenant,
        integration_id: row.integration_id,
        instance_url: row.instance_url,
        is_active: row.is_active,
        is_suspended: row.is_suspended,
        auth_mode: AuthMode::from_word(row.auth_mode.as_deref()),
        device_source: DeviceSource::from_word(&row.device_source),
        settings: row.settings,
        connected_at: row.connected_at,
        last_sync_at: row.last_sync_at,
        last_full_sync_at: row.last_full_sync_at,
        last_incremental_sync_at: row.last_incremental_sync_at,
        sync_status: row.sync_status,
        sync_error: row.sync_error,
        confirmed_url: row.confirmed_url,
        held_at: row.held_at,
        held: row.held,
        code_wanted_at: row.code_wanted_at,
        login_refused_at: row.login_refused_at,
        login_not_before: row.login_not_before,
        tested_at: row.tested_at,
        server_version: row.server_version,
        clients_visible: row.clients_visible,
        agents_visible: row.agents_visible,
        revision: row.revision,
        server_epoch: row.server_epoch,
        database_now: row.database_now,
    }))
}

impl Connection {
    /// Whether a URL leads to the server of this connection: scheme, host and port.
    #[must_use]
    pub fn is_at(&self, url: &str) -> bool {
        origin::is_same(self.instance_url.as_deref(), Some(url))
    }

    /// The mappings belong to another URL than the connection now has: nothing is written before a sync has found out
    /// whether the same server answers there.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.confirmed_url
            .as_deref()
            .is_some_and(|confirmed| !origin::is_same(Some(confirmed), self.instance_url.as_deref()))
    }
}

/// Takes the lock of the connection's writes, in the caller's transaction; whether it is active.
async fn lock(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<bool, Error> {
    let locked = crate::lock::connection(connection, tenant, integration_id).await?;
    locked.map(|locked| locked.is_active).ok_or_else(|| Error::Refused {
        what: format!("lock connection {integration_id}").into(),
        reason: format!("tenant {tenant} has no such connection"),
    })
}

/// The id of a tenant's connection, in the caller's transaction.
pub(crate) async fn integration_of(connection: &mut PgConnection, tenant: Uuid) -> Result<Option<Uuid>, Error> {
    sqlx::query_scalar!(
        "select integration_id from rmm_integrations where tenant = $1 and provider = $2",
        tenant,
        PROVIDER
    )
    .fetch_optional(connection)
    .await
    .attempt(format!("find the connection of tenant {tenant}"))
}
