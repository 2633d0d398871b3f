//! Bearer tokens of the operators' API: who calls, for which tenant, and what it may do.
//!
//! A token is 256 random bits behind a prefix that a scanner of leaked secrets can find. Only its SHA-256 is stored: what
//! cannot be guessed needs no slow hash, and a look-up by digest tells nothing about the token by the time that it takes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt as _;
use crate::{Error, Store, hook};

/// What every token begins with.
pub const PREFIX: &str = "muster_";

/// What a token allows, by the names that AlgaPSA gives its own permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// `system_settings:read`: see connections, runs and mappings.
    SettingsRead,
    /// `system_settings:update`: connect, disconnect, sync, map.
    SettingsUpdate,
    /// `asset:read`: see assets and alerts.
    AssetRead,
    /// `asset:update`: merge assets.
    AssetUpdate,
    /// `rmm:execute_command`: run commands on devices.
    ExecuteCommand,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SettingsRead, Self::SettingsUpdate, Self::AssetRead, Self::AssetUpdate, Self::ExecuteCommand];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SettingsRead => "system_settings:read",
            Self::SettingsUpdate => "system_settings:update",
            Self::AssetRead => "asset:read",
            Self::AssetUpdate => "asset:update",
            Self::ExecuteCommand => "rmm:execute_command",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No permission has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no permission; there are {names}", names = Permission::ALL.map(Permission::as_str).join(", "))]
pub struct UnknownPermission(pub String);

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let known = Self::ALL.into_iter().find(|permission| permission.as_str() == text);
        known.ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The only tenant that it opens; `None`: every tenant.
    pub tenant: Option<Uuid>,
    /// What the audit calls its bearer, 1 to 100 characters.
    pub name: String,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// Good until then, on the database's clock; `None`: until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as it stands in the table; never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it, for [`revoke`].
    pub token_id: Uuid,
    /// The only tenant that it opens; `None`: every tenant.
    pub tenant: Option<Uuid>,
    /// What the audit calls its bearer.
    pub name: String,
    /// What it allows, without those that this build does not know.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Good until then.
    pub expires_at: Option<DateTime<Utc>>,
    /// Revoked then.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What a text that claims to be a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// A token that is good now.
    Good(Token),
    /// It was good until then.
    Expired(DateTime<Utc>),
    /// Somebody has revoked it.
    Revoked,
    /// None of ours.
    Unknown,
}

/// Makes a token: its row, and the token, which is shown once and stored nowhere.
///
/// # Errors
/// [`Error::Refused`] where the name is empty or over 100 characters; otherwise what the database said.
pub async fn add(store: &Store, new: &NewToken, entry: &Entry) -> Result<(Token, SecretString), Error> {
    let what = || format!("make token {}", new.name);
    if !(1..=100).contains(&new.name.trim().chars().count()) {
        let reason = "a token's name has 1 to 100 characters".to_owned();
        return Err(Error::Refused { what: what().into(), reason });
    }
    let text = format!("{PREFIX}{}", hook::generate_secret());
    let permissions: Vec<String> = new.permissions.iter().map(ToString::to_string).collect();
    let made = async {
        let mut transaction = store.pool().begin().await.attempt(what())?;
        let row = sqlx::query_as!(
            TokenRow,
            "insert into muster.token (token_id, tenant, name, digest, permissions, expires_at)
             values ($1, $2, $3, $4, $5, $6)
             returning token_id, tenant, name, permissions, created_at, expires_at, revoked_at, last_used_at",
            Uuid::now_v7(),
            new.tenant,
            new.name.trim(),
            digest(&text),
            &permissions,
            new.expires_at
        );
        let row = row.fetch_one(&mut *transaction).await.attempt(what())?;
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await.attempt(what())?;
        Ok(row.into_token())
    };
    let token = store.within(what(), store.work_ends(), made).await?;
    Ok((token, text.into()))
}

/// Judges what came as a bearer token. The time of its last use is moved when that lies a minute back.
///
/// # Errors
/// What the database said.
pub async fn judge(store: &Store, text: &str) -> Result<Judged, Error> {
    if !text.starts_with(PREFIX) {
        return Ok(Judged::Unknown);
    }
    let row = sqlx::query!(
        r#"select token_id, tenant, name, permissions, created_at, expires_at, revoked_at, last_used_at,
                  coalesce(expires_at <= now(), false) as "is_expired!",
                  coalesce(last_used_at <= now() - interval '1 minute', true) as "is_stale!"
           from muster.token where digest = $1"#,
        digest(text)
    );
    let Some(row) = store.run("look a token up", row.fetch_optional(store.pool())).await? else {
        return Ok(Judged::Unknown);
    };
    if row.revoked_at.is_some() {
        return Ok(Judged::Revoked);
    }
    if let Some(expired_at) = row.expires_at.filter(|_| row.is_expired) {
        return Ok(Judged::Expired(expired_at));
    }
    if row.is_stale {
        note_use(store, row.token_id).await?;
    }
    let row = TokenRow {
        token_id: row.token_id,
        tenant: row.tenant,
        name: row.name,
        permissions: row.permissions,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
    };
    Ok(Judged::Good(row.into_token()))
}

/// Asked again in the statement: of many requests at once one writes.
async fn note_use(store: &Store, token_id: Uuid) -> Result<(), Error> {
    let noted = sqlx::query!(
        "update muster.token set last_used_at = now()
         where token_id = $1 and coalesce(last_used_at <= now() - interval '1 minute', true)",
        token_id
    );
    store.run("note a token's use", noted.execute(store.pool())).await.map(drop)
}

/// Every token, expired and revoked ones included, the newest first.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store) -> Result<Vec<Token>, Error> {
    let rows = sqlx::query_as!(
        TokenRow,
        "select token_id, tenant, name, permissions, created_at, expires_at, revoked_at, last_used_at
         from muster.token order by created_at desc, token_id"
    );
    let rows = store.run("list the tokens", rows.fetch_all(store.pool())).await?;
    Ok(rows.into_iter().map(TokenRow::into_token).collect())
}

/// Revokes a token at once; a second time changes nothing. `false`: there is no such token.
///
/// # Errors
/// What the database said.
pub async fn revoke(store: &Store, token_id: Uuid, entry: &Entry) -> Result<bool, Error> {
    let what = || format!("revoke token {token_id}");
    let revoked = async {
        let mut transaction = store.pool().begin().await.attempt(what())?;
        let was_good = sqlx::query_scalar!(
            r#"select revoked_at is null as "was_good!" from muster.token where token_id = $1 for update"#,
            token_id
        );
        let was_good = was_good.fetch_optional(&mut *transaction).await.attempt(what())?;
        if was_good == Some(true) {
            sqlx::query!("update muster.token set revoked_at = now() where token_id = $1", token_id)
                .execute(&mut *transaction)
                .await
                .attempt(what())?;
            audit::insert(&mut transaction, entry).await?;
        }
        transaction.commit().await.attempt(what())?;
        Ok(was_good.is_some())
    };
    store.within(what(), store.work_ends(), revoked).await
}

fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// A token as the database has it.
struct TokenRow {
    token_id: Uuid,
    tenant: Option<Uuid>,
    name: String,
    permissions: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl TokenRow {
    fn into_token(self) -> Token {
        Token {
            token_id: self.token_id,
            tenant: self.tenant,
            name: self.name,
            // one that a newer version knows allows nothing here
            permissions: self.permissions.iter().filter_map(|name| name.parse().ok()).collect(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_read_by_its_name_and_by_no_other() {
        for permission in Permission::ALL {
            assert_eq!(permission.to_string().parse(), Ok(permission));
        }
        let error = "asset:delete".parse::<Permission>().unwrap_err().to_string();
        assert!(error.contains("asset:delete") && error.contains("asset:update"), "{error}");
    }
}
