//! Connections to Tactical that need a person.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ROWS_MAX;
use crate::hook::PROVIDER;
use crate::{Error, Store};

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integrations {
    /// All of them.
    pub all: i64,
    /// Those that are active, of tenants that are not suspended.
    pub active: i64,
}

/// A connection that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailing {
    /// Whose.
    pub tenant: Uuid,
    /// It has been connected, and is not active now.
    pub is_disconnected: bool,
    /// Another server seems to stand behind it, since then; its mappings are held until a person decides.
    pub held_at: Option<DateTime<Utc>>,
    /// It waits for a person's code since then.
    pub code_wanted_at: Option<DateTime<Utc>>,
    /// The server refused user name and password at that time.
    pub login_refused_at: Option<DateTime<Utc>>,
    /// Why its last sync failed.
    pub sync_error: Option<String>,
    /// When its devices were last read.
    pub last_sync_at: Option<DateTime<Utc>>,
    /// It has no webhook secret.
    pub is_without_hook: bool,
    /// Open alerts whose webhook Tactical could not deliver.
    pub undelivered: i32,
    /// Mistakes in its webhook's template that were seen within a day.
    pub template_mistakes: Vec<String>,
    /// How many ailing connections there are in all, this one included.
    pub total: i64,
}

/// Counts the connections, and reads the first of those that something is wrong with.
///
/// # Errors
/// What the database said.
pub async fn integrations(store: &Store) -> Result<(Integrations, Vec<Ailing>), Error> {
    let counts = sqlx::query_as!(
        Integrations,
        r#"select count(*) as "all!", count(*) filter (where i.is_active and t.suspended_at is null) as "active!"
           from rmm_integrations i join tenants t on t.tenant = i.tenant where i.provider = $1"#,
        PROVIDER
    );
    let counts = store.run("count the connections", counts.fetch_one(store.pool())).await?;
    let ailing = sqlx::query_file_as!(Ailing, "sql/doctor/ailing.sql", PROVIDER, ROWS_MAX);
    let ailing = store.run("look for connections that need a person", ailing.fetch_all(store.pool())).await?;
    Ok((counts, ailing))
}
