//! Who changed what: one row in the transaction of each change that a person asked for.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::{Error, Store};

/// A change, as it will be read later. No secret belongs in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose data was changed; `None`: no one tenant's.
    pub tenant: Option<Uuid>,
    /// Who asked for it, at most 200 characters: a token's name, or the command and its user.
    pub actor: String,
    /// What was done, a few words with dots: `integration.settings.save`.
    pub action: &'static str,
    /// On what, beside the tenant.
    pub subject: Option<String>,
    /// The rest of it, an object.
    pub detail: serde_json::Value,
}

/// Writes an entry in the caller's transaction.
///
/// # Errors
/// What the database said.
pub async fn insert(connection: &mut PgConnection, entry: &Entry) -> Result<(), Error> {
    sqlx::query!(
        "insert into muster.audit (tenant, actor, action, subject, detail) values ($1, left($2, 200), $3, $4, $5)",
        entry.tenant,
        entry.actor,
        entry.action,
        entry.subject,
        entry.detail
    )
    .execute(connection)
    .await
    .attempt(format!("note {} in the audit", entry.action))
    .map(drop)
}

/// Writes an entry of what changed nothing else, and yet is to be seen.
///
/// # Errors
/// What the database said.
pub async fn note(store: &Store, entry: &Entry) -> Result<(), Error> {
    let what = format!("note {} in the audit", entry.action);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut connection = store.pool().acquire().await.attempt(what.clone())?;
            insert(&mut connection, entry).await
        })
        .await
}
