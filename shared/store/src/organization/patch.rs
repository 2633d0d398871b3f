//! What a person changes about a mapping.

use std::collections::BTreeSet;

use contract::event::AssetChange;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::device::{self, Fate};
use crate::error::Attempt;
use crate::{Error, Store, lock};

/// What is to be changed; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patch {
    /// The client that it is assigned to; `Some(None)`: nobody.
    pub client_id: Option<Option<Uuid>>,
    /// Whether its devices are imported.
    pub auto_sync: Option<bool>,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patched {
    /// Assets that went over to the client.
    pub moved: u64,
}

/// Changes a mapping, and takes the assets of that organisation along to its client; taking the client away leaves them
/// where they are. `None`: there is no such mapping.
///
/// # Errors
/// [`Error::Refused`] where the client is not the tenant's; otherwise what the database said.
pub async fn patch(
    store: &Store,
    tenant: Uuid,
    mapping_id: Uuid,
    patch: Patch,
    entry: &Entry,
) -> Result<Option<Patched>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to change a mapping")?;
        let Some(patched) = patch_in(&mut transaction, tenant, mapping_id, patch, entry).await? else {
            return Ok(None);
        };
        transaction.commit().await.attempt("commit a mapping")?;
        Ok(Some(patched))
    };
    store.within("change a mapping", store.work_ends(), work).await
}

/// Changes several mappings in one transaction, each with its audit row: all of them or none.
///
/// # Errors
/// [`Error::Refused`] where a mapping or a client is not the tenant's; otherwise what the database said.
pub async fn patch_all(store: &Store, tenant: Uuid, patches: &[(Uuid, Patch, Entry)]) -> Result<Patched, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to change mappings")?;
        let mut all = Patched { moved: 0 };
        for (mapping_id, patch, entry) in patches {
            let patched = patch_in(&mut transaction, tenant, *mapping_id, *patch, entry).await?;
            let reason = "there is no such mapping".to_owned();
            let what = format!("change mapping {mapping_id}").into();
            all.moved += patched.ok_or(Error::Refused { what, reason })?.moved;
        }
        transaction.commit().await.attempt("commit mappings")?;
        Ok(all)
    };
    store.within("change mappings", store.work_ends(), work).await
}

async fn patch_in(
    connection: &mut PgConnection,
    tenant: Uuid,
    mapping_id: Uuid,
    patch: Patch,
    entry: &Entry,
) -> Result<Option<Patched>, Error> {
    let found = sqlx::query!(
        "select integration_id, external_organization_id from rmm_organization_mappings
             where tenant = $1 and mapping_id = $2",
        tenant,
        mapping_id
    );
    let found = found.fetch_optional(&mut *connection).await.attempt("read a mapping")?;
    let Some(found) = found else { return Ok(None) };
    lock::connection(connection, tenant, found.integration_id).await?;
    if let Some(Some(client_id)) = patch.client_id {
        check_client(connection, tenant, client_id).await?;
    }
    let (sets_client, client_id) = (patch.client_id.is_some(), patch.client_id.flatten());
    sqlx::query!(
        "update rmm_organization_mappings
             set client_id = case when $3 then $4 else client_id end,
                 auto_sync_assets = coalesce($5, auto_sync_assets), updated_at = now()
             where tenant = $1 and mapping_id = $2",
        tenant,
        mapping_id,
        sets_client,
        client_id,
        patch.auto_sync
    )
    .execute(&mut *connection)
    .await
    .attempt(format!("change mapping {mapping_id}"))?;
    let moved = match client_id {
        Some(client_id) => {
            let organization = &found.external_organization_id;
            move_assets(connection, tenant, found.integration_id, organization, client_id).await?
        }
        None => 0,
    };
    audit::insert(connection, entry).await?;
    Ok(Some(Patched { moved }))
}

/// An adopted database has no foreign key that says so.
async fn check_client(connection: &mut PgConnection, tenant: Uuid, client_id: Uuid) -> Result<(), Error> {
    let found = sqlx::query_scalar!(
        "select client_id from clients where tenant = $1 and client_id = $2 for key share",
        tenant,
        client_id
    );
    match found.fetch_optional(connection).await.attempt("look for a client")? {
        Some(_) => Ok(()),
        None => Err(Error::Refused {
            what: format!("assign client {client_id}").into(),
            reason: "there is no such client".to_owned(),
        }),
    }
}

/// Moves them, and tells of those that an agent stands behind.
async fn move_assets(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    organization: &str,
    client_id: Uuid,
) -> Result<u64, Error> {
    let what = || format!("move the assets of organisation {organization}");
    let moved = sqlx::query_file!("sql/organization/move_assets.sql", tenant, organization, client_id, integration_id)
        .fetch_all(&mut *connection)
        .await
        .attempt(what())?;
    let assets: BTreeSet<Uuid> = moved.iter().map(|row| row.asset_id).collect();
    let fates = moved.into_iter().filter_map(|row| {
        let fate = Fate {
            change: AssetChange::Moved,
            changed: &["client_id"],
            previous_client_id: Some(row.previous_client_id),
            merged_into: None,
        };
        Some((row.agent_id?, fate))
    });
    let fates: Vec<(String, Fate)> = fates.collect();
    device::tell(connection, tenant, integration_id, &fates).await?;
    Ok(assets.len() as u64)
}
