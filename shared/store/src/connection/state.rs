//! What a test told of a connection, and its end.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::integration_of;
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::{Error, Store, lock, run, schedule, secret};

/// Why the runs of a disconnected connection failed.
const DISCONNECTED: &str = "disconnected";
/// The column's bound; Tactical's own versions have six characters.
const VERSION_CHARS_MAX: usize = 50;

/// What a test of a connection told.
#[derive(Debug, Clone)]
pub struct TestNote<'a> {
    /// Whose.
    pub tenant: Uuid,
    /// Which.
    pub integration_id: Uuid,
    /// [`super::Connection::revision`] of the settings that were tested.
    pub revision: i64,
    /// The URL that was tested.
    pub instance_url: &'a str,
    /// Whether all that a sync needs was answered.
    pub is_success: bool,
    /// What the server said of itself; cut to what fits.
    pub server_version: Option<&'a str>,
    /// Clients that were seen.
    pub clients_visible: Option<i32>,
    /// Agents that were seen.
    pub agents_visible: Option<i32>,
}

/// Notes a test with its audit row; whether the connection is active now. `None`: it was saved, disconnected or removed
/// during the test, which told of what is no longer so; then only the audit row is written.
///
/// A success makes it active, and says that the mappings belong to this URL where there is none yet. What has ticked once an
/// hour because of its failures is due now.
///
/// # Errors
/// What the database said.
pub async fn note_test(store: &Store, note: &TestNote<'_>, entry: &Entry) -> Result<Option<bool>, Error> {
    let what = format!("note the test of connection {}", note.integration_id);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            let is_active = match lock::connection(&mut transaction, note.tenant, note.integration_id).await? {
                Some(_) => note_in(&mut transaction, note).await.attempt(what.clone())?,
                None => None,
            };
            if note.is_success && is_active.is_some() {
                schedule::make_missing(&mut transaction, note.tenant, note.integration_id).await?;
                schedule::probe_now(&mut transaction, note.tenant, note.integration_id).await?;
            }
            audit::insert(&mut transaction, entry).await?;
            transaction.commit().await.attempt(what.clone())?;
            Ok(is_active)
        })
        .await
}

async fn note_in(connection: &mut PgConnection, note: &TestNote<'_>) -> Result<Option<bool>, sqlx::Error> {
    // a NUL is no text of Postgres'
    let version =
        note.server_version.map(|text| text.replace('\0', "").chars().take(VERSION_CHARS_MAX).collect::<String>());
    let activated = sqlx::query_scalar!(
        r#"update rmm_integrations
           set connected_at = case when $4 and is_active is not true then now() else connected_at end,
               updated_at = case when $4 and is_active is not true then now() else updated_at end,
               is_active = is_active is true or $4
           where tenant = $1 and integration_id = $2 and coalesce(instance_url, '') = $3
             and exists (select from muster.connection c
                         where c.tenant = $1 and c.integration_id = $2 and c.revision = $5)
           returning is_active as "is_active!""#,
        note.tenant,
        note.integration_id,
        note.instance_url,
        note.is_success,
        note.revision
    );
    let Some(is_active) = activated.fetch_optional(&mut *connection).await? else { return Ok(None) };
    sqlx::query_file!(
        "sql/connection/note_test.sql",
        note.tenant,
        note.integration_id,
        version,
        note.clients_visible,
        note.agents_visible,
        note.is_success,
        note.instance_url
    )
    .execute(connection)
    .await?;
    Ok(Some(is_active))
}

/// Ends a connection with its audit row, in one transaction: it is not active, its secrets are gone, its open runs have
/// failed. Mappings, assets and the hook's row stay. `false`: the tenant has no connection.
///
/// # Errors
/// What the database said.
pub async fn disconnect(store: &Store, tenant: Uuid, entry: &Entry) -> Result<bool, Error> {
    let what = format!("disconnect tenant {tenant}");
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            let Some(integration_id) = integration_of(&mut transaction, tenant).await? else { return Ok(false) };
            if lock::connection(&mut transaction, tenant, integration_id).await?.is_none() {
                return Ok(false);
            }
            run::fail_open(&mut transaction, tenant, integration_id, DISCONNECTED).await?;
            end(&mut transaction, tenant, integration_id).await.attempt(what.clone())?;
            secret::delete_all(&mut transaction, tenant).await?;
            audit::insert(&mut transaction, entry).await?;
            transaction.commit().await.attempt(what.clone())?;
            Ok(true)
        })
        .await
}

async fn end(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rmm_integrations
         set is_active = false, updated_at = now(),
             sync_status = case when sync_status = 'syncing' then 'error' else sync_status end,
             sync_error = case when sync_status = 'syncing' then $3 else sync_error end
         where tenant = $1 and integration_id = $2",
        tenant,
        integration_id,
        DISCONNECTED
    )
    .execute(&mut *connection)
    .await?;
    end_claims(connection, tenant, integration_id).await
}

/// Whoever is logging in must not leave its token here from now on, and who tests the connection not switch it on again. The
/// caller has locked it.
pub(crate) async fn end_claims(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update muster.connection
         set revision = revision + 1, code_wanted_at = null, login_refused_at = null, login_claimed_until = null
         where tenant = $1 and integration_id = $2",
        tenant,
        integration_id
    )
    .execute(connection)
    .await
    .map(drop)
}
