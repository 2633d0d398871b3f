//! Tenants and their connection to Tactical: what `muster tenant` does until the console does it.
//!
//! AlgaPSA owns these rows; on an adopted database the tenant and often the client are there already, and only what is
//! absent is made. A secret comes in as its digest and is never stored otherwise.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::connection::{self, Save, SaveEnd};
use crate::error::Attempt as _;
use crate::hook::{self, Change, Digest, HookState, PROVIDER, Rotation};
use crate::{Error, Store, schedule};

/// What a connected tenant is to have.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// The tenant; made if absent.
    pub tenant: Uuid,
    /// A client of this name; made if absent.
    pub client_name: String,
    /// The URL of Tactical's API host; `None` keeps what stands there.
    pub instance_url: Option<String>,
    /// The digest of the webhook's secret; `None` keeps the hook as it is, and makes none where none is.
    pub digest: Option<Digest>,
    /// How long the secret before stays good, where this one replaces it.
    pub grace: Duration,
}

/// A connected tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The tenant.
    pub tenant: Uuid,
    /// The client.
    pub client_id: Uuid,
    /// The connection.
    pub integration_id: Uuid,
    /// What happened to the hook; `None`: no digest was given. Where a rotation is under way, nothing at all was written.
    pub hook: Option<Change>,
}

/// One line of [`list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The tenant.
    pub tenant: Uuid,
    /// Its connection to Tactical.
    pub integration_id: Uuid,
    /// The URL of Tactical's API host.
    pub instance_url: Option<String>,
    /// Whether webhooks are recorded.
    pub state: HookState,
    /// When the webhook's secret was set or replaced last; `None`: there is no hook.
    pub rotated_at: Option<DateTime<Utc>>,
}

/// Whether a tenant has a client of this name; `None`: it has none at all.
///
/// # Errors
/// What the database said.
pub async fn has_client(store: &Store, tenant: Uuid, name: &str) -> Result<Option<bool>, Error> {
    let found = sqlx::query_scalar!("select bool_or(client_name = $2) from clients where tenant = $1", tenant, name);
    store.run(format!("look for a client of tenant {tenant}"), found.fetch_one(store.pool())).await
}

/// Makes what is absent of tenant, client, connection and hook, and switches the connection on.
///
/// Asked twice it changes nothing and answers the same ids, also when both ask at once. A URL other than the one that stands
/// there is saved as [`connection::save`] saves it, with all that follows from another server. The URL, the switch and the
/// webhook's secret have an audit row each where they change; `actor` is who asked for it.
///
/// # Errors
/// [`Error::Data`] where a text is over its limit, or an adopted table wants a column that only AlgaPSA can fill;
/// [`Error::Refused`] where the URL leads to another server than the one that the stored credentials are for; otherwise what
/// the database said.
pub async fn connect(store: &Store, new: &NewConnection, actor: &str) -> Result<Connected, Error> {
    let what = format!("connect tenant {}", new.tenant);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            lock_tenant(&mut transaction, new.tenant).await.attempt(what.clone())?;
            let client_id = client(&mut transaction, new).await.attempt(what.clone())?;
            let integration_id = integration(&mut transaction, new, actor, &what).await?;
            let hook = match &new.digest {
                Some(digest) => {
                    let by = entry(new.tenant, actor, "webhook.rotate", json!({"grace_s": new.grace.as_secs()}));
                    let rotation = Rotation::gentle(new.grace);
                    Some(hook::set_by(&mut transaction, new.tenant, integration_id, digest, rotation, &by).await?)
                }
                None => None,
            };
            // all of it, or nothing
            if !matches!(hook, Some(Change::UnderWay { .. })) {
                transaction.commit().await.attempt(what.clone())?;
            }
            Ok(Connected { tenant: new.tenant, client_id, integration_id, hook })
        })
        .await
}

/// The tenant's row, made if absent, and its lock: what follows finds what another one made.
async fn lock_tenant(connection: &mut PgConnection, tenant: Uuid) -> Result<(), sqlx::Error> {
    // asked first: where the row exists, an adopted table's own mandatory columns must not matter
    sqlx::query!(
        "insert into tenants (tenant) select $1 where not exists (select from tenants where tenant = $1)
         on conflict (tenant) do nothing",
        tenant
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("select tenant from tenants where tenant = $1 for no key update", tenant)
        .fetch_one(connection)
        .await
        .map(drop)
}

async fn client(connection: &mut PgConnection, new: &NewConnection) -> Result<Uuid, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select client_id from clients where tenant = $1 and client_name = $2 order by client_id limit 1",
        new.tenant,
        new.client_name
    );
    if let Some(client_id) = found.fetch_optional(&mut *connection).await? {
        return Ok(client_id);
    }
    let client_id = Uuid::new_v4();
    sqlx::query!(
        "insert into clients (tenant, client_id, client_name) values ($1, $2, $3)",
        new.tenant,
        client_id,
        new.client_name
    )
    .execute(connection)
    .await?;
    Ok(client_id)
}

/// The connection: made if absent, with the URL that was given, and switched on.
async fn integration(
    connection: &mut PgConnection,
    new: &NewConnection,
    actor: &str,
    what: &str,
) -> Result<Uuid, Error> {
    let found = sqlx::query!(
        "select integration_id, instance_url from rmm_integrations where tenant = $1 and provider = $2",
        new.tenant,
        PROVIDER
    );
    let found = found.fetch_optional(&mut *connection).await.attempt(what.to_owned())?;
    let present = found.as_ref().and_then(|row| row.instance_url.as_deref());
    let integration_id = match (&new.instance_url, &found) {
        (Some(url), _) if present != Some(url) => save_url(connection, new.tenant, url, actor, what).await?,
        (_, Some(row)) => row.integration_id,
        (_, None) => without_url(connection, new.tenant).await.attempt(what.to_owned())?,
    };
    let switched = sqlx::query!(
        "update rmm_integrations set is_active = true, connected_at = now(), updated_at = now()
         where tenant = $1 and integration_id = $2 and is_active is not true",
        new.tenant,
        integration_id
    )
    .execute(&mut *connection)
    .await
    .attempt(what.to_owned())?;
    if switched.rows_affected() > 0 {
        let subject = Some(integration_id.to_string());
        let entry = Entry { subject, ..entry(new.tenant, actor, "integration.connect", json!({})) };
        audit::insert(&mut *connection, &entry).await?;
    }
    schedule::make_missing(connection, new.tenant, integration_id).await?;
    Ok(integration_id)
}

fn entry(tenant: Uuid, actor: &str, action: &'static str, detail: serde_json::Value) -> Entry {
    Entry { tenant: Some(tenant), actor: actor.to_owned(), action, subject: None, detail }
}

async fn save_url(
    connection: &mut PgConnection,
    tenant: Uuid,
    url: &str,
    actor: &str,
    what: &str,
) -> Result<Uuid, Error> {
    let url = Some(url.to_owned());
    let save = Save { tenant, instance_url: url, auth_mode: None, device_source: None, secrets: Vec::new() };
    match connection::save_in(connection, &save, what).await? {
        SaveEnd::Saved(saved) => {
            let (subject, detail) = (saved.integration_id.to_string(), json!({"instance_url": save.instance_url}));
            let entry = entry(tenant, actor, "integration.settings.save", detail);
            audit::insert(connection, &Entry { subject: Some(subject), ..entry }).await?;
            Ok(saved.integration_id)
        }
        SaveEnd::NoCredentials(_) | SaveEnd::NoUrl => {
            let reason = "the URL leads to another server than the one that the stored credentials are for: \
                          `muster connect --url` changes it, and takes the new server's credentials with it";
            Err(Error::Refused { what: what.to_owned().into(), reason: reason.to_owned() })
        }
    }
}

/// A connection for webhooks alone, not switched on yet.
async fn without_url(connection: &mut PgConnection, tenant: Uuid) -> Result<Uuid, sqlx::Error> {
    let integration_id = Uuid::new_v4();
    sqlx::query!(
        "insert into rmm_integrations (tenant, integration_id, provider, is_active) values ($1, $2, $3, false)",
        tenant,
        integration_id,
        PROVIDER
    )
    .execute(connection)
    .await?;
    Ok(integration_id)
}

/// Suspends a tenant, or ends that, with the audit of who did it. Asked again it changes nothing and keeps the first stamp.
/// `false`: there is no such tenant.
///
/// # Errors
/// What the database said.
pub async fn set_suspended(store: &Store, tenant: Uuid, is_suspended: bool, actor: &str) -> Result<bool, Error> {
    let what = format!("suspend or resume tenant {tenant}");
    let done = async {
        let mut transaction = store.pool().begin().await.attempt(what.clone())?;
        let was_suspended = sqlx::query_scalar!(
            r#"select suspended_at is not null as "was_suspended!" from tenants where tenant = $1 for no key update"#,
            tenant
        );
        let was_suspended = was_suspended.fetch_optional(&mut *transaction).await.attempt(what.clone())?;
        if was_suspended.is_none_or(|it| it == is_suspended) {
            return Ok(was_suspended.is_some());
        }
        let update = sqlx::query!(
            "update tenants set suspended_at = case when $2 then now() end where tenant = $1",
            tenant,
            is_suspended
        );
        update.execute(&mut *transaction).await.attempt(what.clone())?;
        let action = if is_suspended { "tenant.suspend" } else { "tenant.resume" };
        audit::insert(&mut transaction, &entry(tenant, actor, action, json!({}))).await?;
        transaction.commit().await.attempt(what.clone())?;
        Ok(true)
    };
    store.within(what.clone(), store.work_ends(), done).await
}

/// Every tenant with a connection to Tactical, by tenant.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query!(
        r#"select i.tenant, i.integration_id, i.instance_url, h.rotated_at as "rotated_at?",
                  coalesce(i.is_active, false) as "is_active!", t.suspended_at is not null as "is_suspended!"
           from rmm_integrations i
           join tenants t on t.tenant = i.tenant
           left join muster.hook h on h.tenant = i.tenant and h.integration_id = i.integration_id
           where i.provider = $1
           order by i.tenant"#,
        PROVIDER
    );
    let rows = store.run("list the tenants", rows.fetch_all(store.pool())).await?;
    let listed = rows.into_iter().map(|row| Listed {
        tenant: row.tenant,
        integration_id: row.integration_id,
        instance_url: row.instance_url,
        state: hook::to_state(row.is_suspended, row.is_active),
        rotated_at: row.rotated_at,
    });
    Ok(listed.collect())
}
