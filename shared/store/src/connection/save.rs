//! Saving a connection's settings: what is not given stays, and what no longer fits is forgotten.

use serde_json::json;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{AuthMode, DeviceSource, integration_of, lock};
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::secret::{self, Sealed};
use crate::{Error, Store};

/// What a connection's settings are to be.
#[derive(Debug, Clone)]
pub struct Save {
    /// Whose; the tenant must exist.
    pub tenant: Uuid,
    /// Tactical's API host, at most 255 characters.
    pub instance_url: String,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// Where devices are read from.
    pub device_source: DeviceSource,
    /// Secrets to set, or (`None`) to delete; a secret that is not named here stays as it is.
    pub secrets: Vec<(&'static str, Option<Sealed>)>,
}

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The connection.
    pub integration_id: Uuid,
    /// It was made now, and is not active before a test has succeeded.
    pub is_new: bool,
}

/// Saves settings and secrets with their audit row, in one transaction.
///
/// Of AlgaPSA's settings only `auth_mode` is written: schedules stay. Where the way to authenticate or the server changes,
/// the session of before is forgotten, so that a token never goes to another host than the one that gave it, and so are a
/// wanted code, a refused password, and a login under way. Where the server changes, so is what the last test told.
///
/// # Errors
/// [`Error::Refused`] for an unknown tenant, [`Error::Data`] for a text over its limit; otherwise what the database said.
pub async fn save(store: &Store, new: &Save, entry: &Entry) -> Result<Saved, Error> {
    let what = format!("save the connection of tenant {}", new.tenant);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            let saved = save_in(&mut transaction, new, &what).await?;
            audit::insert(&mut transaction, entry).await?;
            transaction.commit().await.attempt(what.clone())?;
            Ok(saved)
        })
        .await
}

async fn save_in(connection: &mut PgConnection, new: &Save, what: &str) -> Result<Saved, Error> {
    // two that make the connection at once: the second waits here, then finds it
    sqlx::query!("select tenant from tenants where tenant = $1 for no key update", new.tenant)
        .fetch_optional(&mut *connection)
        .await
        .attempt(what.to_owned())?
        .ok_or_else(|| Error::Refused { what: what.to_owned().into(), reason: "there is no such tenant".to_owned() })?;
    let found = integration_of(connection, new.tenant).await?;
    let integration_id = found.unwrap_or_else(Uuid::new_v4);
    if found.is_none() {
        make(connection, new, integration_id).await.attempt(what.to_owned())?;
    }
    lock(connection, new.tenant, integration_id).await?;
    let (is_other_server, is_other_login) = compare(connection, new, integration_id).await.attempt(what.to_owned())?;
    write(connection, new, integration_id, is_other_server, is_other_login).await.attempt(what.to_owned())?;
    if is_other_login {
        secret::delete(connection, new.tenant, secret::KNOX_TOKEN).await?;
    }
    for (name, sealed) in &new.secrets {
        match sealed {
            Some(sealed) => secret::put(connection, new.tenant, name, sealed).await?,
            None => drop(secret::delete(connection, new.tenant, name).await?),
        }
    }
    Ok(Saved { integration_id, is_new: found.is_none() })
}

async fn make(connection: &mut PgConnection, new: &Save, integration_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into rmm_integrations (tenant, integration_id, provider, instance_url, is_active, settings)
         values ($1, $2, $3, $4, false, $5)",
        new.tenant,
        integration_id,
        PROVIDER,
        new.instance_url,
        json!({"auth_mode": new.auth_mode.as_str()})
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Whether the server is another one than before, and whether (also then) the login is.
async fn compare(connection: &mut PgConnection, new: &Save, integration_id: Uuid) -> Result<(bool, bool), sqlx::Error> {
    let row = sqlx::query!(
        r#"select instance_url, settings ->> 'auth_mode' as auth_mode
           from rmm_integrations where tenant = $1 and integration_id = $2"#,
        new.tenant,
        integration_id
    );
    let row = row.fetch_one(connection).await?;
    let is_other_server = row.instance_url.as_deref() != Some(new.instance_url.as_str());
    let is_other_mode = AuthMode::from_word(row.auth_mode.as_deref()) != new.auth_mode;
    Ok((is_other_server, is_other_server || is_other_mode || !new.secrets.is_empty()))
}

async fn write(
    connection: &mut PgConnection,
    new: &Save,
    integration_id: Uuid,
    is_other_server: bool,
    is_other_login: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rmm_integrations
         set instance_url = $3, settings = jsonb_set(coalesce(settings, '{}'), '{auth_mode}', to_jsonb($4::text)),
             updated_at = now()
         where tenant = $1 and integration_id = $2",
        new.tenant,
        integration_id,
        new.instance_url,
        new.auth_mode.as_str()
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_file!(
        "sql/connection/save.sql",
        new.tenant,
        integration_id,
        new.device_source.as_str(),
        is_other_server,
        is_other_login
    )
    .execute(connection)
    .await
    .map(drop)
}
