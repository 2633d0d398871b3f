//! Saving a connection's settings: what is not given stays, and what no longer fits is forgotten.

use serde_json::json;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{AuthMode, DeviceSource, integration_of, lock};
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::secret::{self, Sealed};
use crate::{Error, Store, origin, run};

/// Why the open runs of a connection fail whose server was changed.
const SERVER_CHANGED: &str = "the connection's server was changed";
/// What is a person's to enter; the session's token follows from it.
const CREDENTIALS: [&str; 3] = [secret::API_KEY, secret::USERNAME, secret::PASSWORD];

/// What is to be saved; `None` leaves it as it is.
#[derive(Debug, Clone)]
pub struct Save {
    /// Whose; the tenant must exist.
    pub tenant: Uuid,
    /// Tactical's API host, at most 255 characters.
    pub instance_url: Option<String>,
    /// How it authenticates. A new connection without one: as the secrets say, else with an API key.
    pub auth_mode: Option<AuthMode>,
    /// Where devices are read from.
    pub device_source: Option<DeviceSource>,
    /// Secrets to set, or (`None`) to delete; a secret that is not named here stays as it is, as long as the server does.
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

/// How saving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveEnd {
    /// It is saved.
    Saved(Saved),
    /// Nothing was saved: no URL was given, and none is there.
    NoUrl,
    /// Nothing was saved: the URL leads to another server, credentials of the one before are stored, and those that the new
    /// one needs were not given.
    NoCredentials(AuthMode),
}

/// What stands there before.
struct Before {
    instance_url: Option<String>,
    auth_mode: AuthMode,
    device_source: DeviceSource,
    has_credentials: bool,
    has_mappings: bool,
}

/// What is to stand there.
struct After<'a> {
    instance_url: &'a str,
    auth_mode: AuthMode,
    device_source: DeviceSource,
    is_other_server: bool,
    /// Also where the server is another one.
    is_other_login: bool,
    /// The URL that the mappings are of, where nothing says it yet.
    mapped_url: Option<&'a str>,
}

/// Saves settings and secrets with their audit row, in one transaction. What two save at once is saved both, as far as they
/// name different settings.
///
/// Of AlgaPSA's settings only `auth_mode` is written: schedules stay. Where the way to authenticate or the server changes,
/// the session of before is forgotten, so that a token never goes to another host than the one that gave it, and so are a
/// wanted code, a refused password, and a login under way. Where the server (scheme, host or port of the URL) changes, the
/// open runs fail, stored credentials that are not given anew are deleted, and so is what the last test told; devices are
/// written again once a sync has found the same server there, or a person has confirmed another one.
///
/// # Errors
/// [`Error::Refused`] for an unknown tenant, [`Error::Data`] for a text over its limit; otherwise what the database said.
pub async fn save(store: &Store, new: &Save, entry: &Entry) -> Result<SaveEnd, Error> {
    let what = format!("save the connection of tenant {}", new.tenant);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            let end = save_in(&mut transaction, new, &what).await?;
            if matches!(end, SaveEnd::Saved(_)) {
                audit::insert(&mut transaction, entry).await?;
                transaction.commit().await.attempt(what.clone())?;
            }
            Ok(end)
        })
        .await
}

/// [`save`] in the caller's transaction, without its audit row.
pub(crate) async fn save_in(connection: &mut PgConnection, new: &Save, what: &str) -> Result<SaveEnd, Error> {
    // two that make the connection at once: the second waits here, then finds it
    sqlx::query!("select tenant from tenants where tenant = $1 for no key update", new.tenant)
        .fetch_optional(&mut *connection)
        .await
        .attempt(what.to_owned())?
        .ok_or_else(|| Error::Refused { what: what.to_owned().into(), reason: "there is no such tenant".to_owned() })?;
    let found = integration_of(connection, new.tenant).await?;
    let integration_id = found.unwrap_or_else(Uuid::new_v4);
    if found.is_none() {
        if new.instance_url.is_none() {
            return Ok(SaveEnd::NoUrl);
        }
        make(connection, new, integration_id).await.attempt(what.to_owned())?;
    }
    make_ours(connection, new.tenant, integration_id).await.attempt(what.to_owned())?;
    lock(connection, new.tenant, integration_id).await?;
    let before = before(connection, new.tenant, integration_id).await.attempt(what.to_owned())?;
    let Some(after) = After::of(new, &before) else { return Ok(SaveEnd::NoUrl) };
    if after.is_other_server {
        if before.has_credentials && !new.gives_credentials(after.auth_mode) {
            return Ok(SaveEnd::NoCredentials(after.auth_mode));
        }
        run::fail_open(connection, new.tenant, integration_id, SERVER_CHANGED).await?;
        for name in CREDENTIALS {
            secret::delete(connection, new.tenant, name).await?;
        }
    }
    write(connection, new.tenant, integration_id, &after).await.attempt(what.to_owned())?;
    if after.is_other_login {
        secret::delete(connection, new.tenant, secret::KNOX_TOKEN).await?;
    }
    for (name, sealed) in &new.secrets {
        match sealed {
            Some(sealed) => secret::put(connection, new.tenant, name, sealed).await?,
            None => drop(secret::delete(connection, new.tenant, name).await?),
        }
    }
    Ok(SaveEnd::Saved(Saved { integration_id, is_new: found.is_none() }))
}

impl Save {
    fn gives(&self, name: &str) -> bool {
        self.secrets.iter().any(|(given, sealed)| *given == name && sealed.is_some())
    }

    fn gives_credentials(&self, mode: AuthMode) -> bool {
        match mode {
            AuthMode::ApiKey => self.gives(secret::API_KEY),
            AuthMode::Knox => self.gives(secret::USERNAME) && self.gives(secret::PASSWORD),
        }
    }

    /// How a new connection authenticates.
    fn first_mode(&self) -> AuthMode {
        let is_login = self.gives(secret::PASSWORD) && !self.gives(secret::API_KEY);
        self.auth_mode.unwrap_or(if is_login { AuthMode::Knox } else { AuthMode::ApiKey })
    }
}

impl<'a> After<'a> {
    /// `None`: there is no URL.
    fn of(new: &'a Save, before: &'a Before) -> Option<Self> {
        let instance_url = new.instance_url.as_deref().or(before.instance_url.as_deref())?;
        let auth_mode = new.auth_mode.unwrap_or(before.auth_mode);
        let is_other_server = !origin::is_same(before.instance_url.as_deref(), Some(instance_url));
        let mapped_url = before.instance_url.as_deref().filter(|_| is_other_server && before.has_mappings);
        Some(Self {
            instance_url,
            auth_mode,
            device_source: new.device_source.unwrap_or(before.device_source),
            is_other_server,
            is_other_login: is_other_server || auth_mode != before.auth_mode || !new.secrets.is_empty(),
            mapped_url,
        })
    }
}

async fn make(connection: &mut PgConnection, new: &Save, integration_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into rmm_integrations (tenant, integration_id, provider, instance_url, is_active, settings)
         values ($1, $2, $3, $4, false, $5)",
        new.tenant,
        integration_id,
        PROVIDER,
        new.instance_url,
        json!({"auth_mode": new.first_mode().as_str()})
    )
    .execute(connection)
    .await
    .map(drop)
}

/// The row beside it: a removal has taken it, where the connection was left to AlgaPSA.
async fn make_ours(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into muster.connection (tenant, integration_id) values ($1, $2)
         on conflict (tenant, integration_id) do nothing",
        tenant,
        integration_id
    )
    .execute(connection)
    .await
    .map(drop)
}

async fn before(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<Before, sqlx::Error> {
    let names: Vec<String> = CREDENTIALS.iter().map(|name| (*name).to_owned()).collect();
    let row = sqlx::query!(
        r#"select i.instance_url, i.settings ->> 'auth_mode' as auth_mode, c.device_source,
                  exists (select from muster.secret s where s.tenant = i.tenant and s.name = any ($3)) as "has_credentials!",
                  exists (select from rmm_organization_mappings m
                          where m.tenant = i.tenant and m.integration_id = i.integration_id) as "has_mappings!"
           from rmm_integrations i
           join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
           where i.tenant = $1 and i.integration_id = $2"#,
        tenant,
        integration_id,
        &names
    );
    let row = row.fetch_one(connection).await?;
    Ok(Before {
        instance_url: row.instance_url,
        auth_mode: AuthMode::from_word(row.auth_mode.as_deref()),
        device_source: DeviceSource::from_word(&row.device_source),
        has_credentials: row.has_credentials,
        has_mappings: row.has_mappings,
    })
}

async fn write(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    after: &After<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rmm_integrations
         set instance_url = $3, settings = jsonb_set(coalesce(settings, '{}'), '{auth_mode}', to_jsonb($4::text)),
             updated_at = now()
         where tenant = $1 and integration_id = $2",
        tenant,
        integration_id,
        after.instance_url,
        after.auth_mode.as_str()
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_file!(
        "sql/connection/save.sql",
        tenant,
        integration_id,
        after.device_source.as_str(),
        after.is_other_server,
        after.is_other_login,
        after.mapped_url
    )
    .execute(connection)
    .await
    .map(drop)
}
