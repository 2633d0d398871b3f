//! Sealed secrets of tenants; what is in them only the vault can read.
//!
//! A row is replaced or deleted, never changed in part: who re-seals one says what it was before, so that a secret which a
//! person entered meanwhile is not overwritten by the one before it.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::{Error, Store};

/// Tactical's API key.
pub const API_KEY: &str = "tacticalrmm_api_key";
/// The user of a login with a password.
pub const USERNAME: &str = "tacticalrmm_username";
/// That user's password.
pub const PASSWORD: &str = "tacticalrmm_password";
/// The session's token that a login answered.
pub const KNOX_TOKEN: &str = "tacticalrmm_knox_token";

/// What the vault sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub key_id: String,
    /// Nonce, sealed text, tag.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub tenant: Uuid,
    /// Which: [`API_KEY`] and so on.
    pub name: String,
    /// What is in it.
    pub sealed: Sealed,
    /// When it was set, or sealed anew.
    pub updated_at: DateTime<Utc>,
}

/// One secret of a tenant.
///
/// # Errors
/// What the database said.
pub async fn get(store: &Store, tenant: Uuid, name: &str) -> Result<Option<Sealed>, Error> {
    let work = async {
        let mut connection = store.pool().acquire().await.attempt("get a connection")?;
        get_in(&mut connection, tenant, name).await
    };
    store.within(format!("read secret {name} of tenant {tenant}"), store.work_ends(), work).await
}

/// A secret, read in the caller's transaction.
pub(crate) async fn get_in(connection: &mut PgConnection, tenant: Uuid, name: &str) -> Result<Option<Sealed>, Error> {
    sqlx::query_as!(
        Sealed,
        "select key_id, sealed as bytes from muster.secret where tenant = $1 and name = $2",
        tenant,
        name
    )
    .fetch_optional(connection)
    .await
    .attempt(format!("read secret {name} of tenant {tenant}"))
}

/// All secrets of a tenant, by name.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, tenant: Uuid) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query_as!(
        Raw,
        "select tenant, name, key_id, sealed, updated_at from muster.secret where tenant = $1 order by name",
        tenant
    );
    let rows = store.run(format!("list the secrets of tenant {tenant}"), rows.fetch_all(store.pool())).await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Sets a secret in the caller's transaction.
///
/// # Errors
/// What the database said.
pub async fn put(connection: &mut PgConnection, tenant: Uuid, name: &str, sealed: &Sealed) -> Result<(), Error> {
    sqlx::query!(
        "insert into muster.secret (tenant, name, key_id, sealed) values ($1, $2, $3, $4)
         on conflict (tenant, name) do update
         set key_id = excluded.key_id, sealed = excluded.sealed, updated_at = now()",
        tenant,
        name,
        sealed.key_id,
        sealed.bytes
    )
    .execute(connection)
    .await
    .attempt(format!("set secret {name} of tenant {tenant}"))
    .map(drop)
}

/// Deletes a secret in the caller's transaction; whether there was one.
///
/// # Errors
/// What the database said.
pub async fn delete(connection: &mut PgConnection, tenant: Uuid, name: &str) -> Result<bool, Error> {
    sqlx::query!("delete from muster.secret where tenant = $1 and name = $2", tenant, name)
        .execute(connection)
        .await
        .attempt(format!("delete secret {name} of tenant {tenant}"))
        .map(|done| done.rows_affected() == 1)
}

/// Deletes all secrets of a tenant in the caller's transaction; how many there were.
///
/// # Errors
/// What the database said.
pub async fn delete_all(connection: &mut PgConnection, tenant: Uuid) -> Result<u64, Error> {
    sqlx::query!("delete from muster.secret where tenant = $1", tenant)
        .execute(connection)
        .await
        .attempt(format!("delete the secrets of tenant {tenant}"))
        .map(|done| done.rows_affected())
}

/// The ids of the keys that secrets are sealed with, and how many secrets each.
///
/// # Errors
/// What the database said.
pub async fn key_ids(store: &Store) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query!(
        r#"select key_id, count(*) as "secrets!" from muster.secret group by key_id order by count(*) desc, key_id"#
    );
    let rows = store.run("read which keys seal secrets", rows.fetch_all(store.pool())).await?;
    Ok(rows.into_iter().map(|row| (row.key_id, row.secrets)).collect())
}

/// Secrets that are sealed with another key than this one, by tenant and name, after a row (the last of the page before).
///
/// # Errors
/// What the database said.
pub async fn page_under_other_keys(
    store: &Store,
    key_id: &str,
    after: Option<(Uuid, &str)>,
    rows_max: u16,
) -> Result<Vec<Row>, Error> {
    let (tenant, name) = after.unwrap_or((Uuid::nil(), ""));
    let rows = sqlx::query_as!(
        Raw,
        "select tenant, name, key_id, sealed, updated_at from muster.secret
         where key_id <> $1 and (tenant, name) > ($2, $3)
         order by tenant, name limit $4",
        key_id,
        tenant,
        name,
        i64::from(rows_max)
    );
    let rows = store.run("read a page of secrets", rows.fetch_all(store.pool())).await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Puts what was sealed anew in the place of what was read, in one transaction; how many rows still were what was read.
///
/// # Errors
/// What the database said.
pub async fn replace(store: &Store, resealed: &[(Row, Sealed)]) -> Result<u64, Error> {
    let tenants: Vec<Uuid> = resealed.iter().map(|(row, _)| row.tenant).collect();
    let names: Vec<&str> = resealed.iter().map(|(row, _)| row.name.as_str()).collect();
    let before: Vec<&[u8]> = resealed.iter().map(|(row, _)| row.sealed.bytes.as_slice()).collect();
    let key_ids: Vec<&str> = resealed.iter().map(|(_, sealed)| sealed.key_id.as_str()).collect();
    let after: Vec<&[u8]> = resealed.iter().map(|(_, sealed)| sealed.bytes.as_slice()).collect();
    let updated = sqlx::query!(
        "update muster.secret s
         set key_id = n.key_id, sealed = n.after, updated_at = now()
         from unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[]) as n (tenant, name, before, key_id, after)
         where s.tenant = n.tenant and s.name = n.name and s.sealed = n.before",
        &tenants,
        &names as _,
        &before as _,
        &key_ids as _,
        &after as _
    );
    let what = format!("seal {} secrets anew", resealed.len());
    Ok(store.run(what, updated.execute(store.pool())).await?.rows_affected())
}

/// A row as the database has it.
struct Raw {
    tenant: Uuid,
    name: String,
    key_id: String,
    sealed: Vec<u8>,
    updated_at: DateTime<Utc>,
}

impl From<Raw> for Row {
    fn from(raw: Raw) -> Self {
        let Raw { tenant, name, key_id, sealed, updated_at } = raw;
        Self { tenant, name, sealed: Sealed { key_id, bytes: sealed }, updated_at }
    }
}
