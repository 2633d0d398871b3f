//! Tenants and their connection to Tactical: what `muster tenant` does until the console does it.
//!
//! AlgaPSA owns these rows; on an adopted database the tenant and often the client are there already, and only what is
//! absent is made. A secret comes in as its digest and is never stored otherwise.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::hook::{self, Change, Digest, HookState, PROVIDER};
use crate::{Error, Store};

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
    /// What happened to the hook; `None`: no digest was given.
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

/// Makes what is absent of tenant, client, connection and hook, and switches the connection on.
///
/// Asked twice it changes nothing and answers the same ids, also when both ask at once.
///
/// # Errors
/// [`Error::Data`] where a text is over its limit, or an adopted table wants a column that only AlgaPSA can fill; otherwise
/// what the database said.
pub async fn connect(store: &Store, new: &NewConnection) -> Result<Connected, Error> {
    store
        .run(format!("connect tenant {}", new.tenant), async {
            let mut transaction = store.pool().begin().await?;
            lock_tenant(&mut transaction, new.tenant).await?;
            let client_id = client(&mut transaction, new).await?;
            let integration_id = integration(&mut transaction, new).await?;
            let hook = match &new.digest {
                Some(digest) => Some(hook::set(&mut transaction, new.tenant, integration_id, digest, new.grace).await?),
                None => None,
            };
            transaction.commit().await?;
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

async fn integration(connection: &mut PgConnection, new: &NewConnection) -> Result<Uuid, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select integration_id from rmm_integrations where tenant = $1 and provider = $2",
        new.tenant,
        PROVIDER
    );
    if let Some(integration_id) = found.fetch_optional(&mut *connection).await? {
        sqlx::query!(
            "update rmm_integrations
             set is_active = true, connected_at = now(), updated_at = now(), instance_url = coalesce($3, instance_url)
             where tenant = $1 and integration_id = $2
               and (is_active is not true or instance_url is distinct from coalesce($3, instance_url))",
            new.tenant,
            integration_id,
            new.instance_url
        )
        .execute(connection)
        .await?;
        return Ok(integration_id);
    }
    let integration_id = Uuid::new_v4();
    sqlx::query!(
        "insert into rmm_integrations (tenant, integration_id, provider, instance_url, is_active, connected_at)
         values ($1, $2, $3, $4, true, now())",
        new.tenant,
        integration_id,
        PROVIDER,
        new.instance_url
    )
    .execute(connection)
    .await?;
    Ok(integration_id)
}

/// Switches a tenant's connection off: webhooks are answered and not recorded. `false`: the tenant has no connection.
///
/// The hook stays, so that Tactical gets a kind answer instead of a 401; [`connect`] switches on again.
///
/// # Errors
/// What the database said.
pub async fn disconnect(store: &Store, tenant: Uuid) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "update rmm_integrations set is_active = false, updated_at = now() where tenant = $1 and provider = $2",
        tenant,
        PROVIDER
    );
    let done = store.run(format!("disconnect tenant {tenant}"), updated.execute(store.pool())).await?;
    Ok(done.rows_affected() == 1)
}

/// Suspends a tenant, or ends that. Asked again it keeps the first stamp. `false`: there is no such tenant.
///
/// # Errors
/// What the database said.
pub async fn set_suspended(store: &Store, tenant: Uuid, is_suspended: bool) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "update tenants set suspended_at = case when $2 then coalesce(suspended_at, now()) end where tenant = $1",
        tenant,
        is_suspended
    );
    let done = store.run(format!("suspend or resume tenant {tenant}"), updated.execute(store.pool())).await?;
    Ok(done.rows_affected() == 1)
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
