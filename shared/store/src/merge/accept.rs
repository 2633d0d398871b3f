//! Makes two agents one: the old one's asset gets the new one's id.

use chrono::{DateTime, Utc};
use contract::event::{AlertChanged, AssetChange, Transition};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::audit;
use crate::alert;
use crate::audit::Entry;
use crate::device::{self, Fate};
use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store, lock, software};

/// What became of an accepted proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The asset that stays.
    pub asset_id: Uuid,
    /// Alerts that were the other asset's.
    pub alerts: usize,
}

/// The two sides of a proposal.
struct Pair {
    agent_id: String,
    old_agent_id: String,
    asset_id: Uuid,
    old_asset_id: Uuid,
}

/// Accepts an open proposal. `None`: there is no such open proposal, one of its two assets is gone, or the old agent is back.
///
/// The next list writes what the new agent is; until then the asset looks as it did.
///
/// # Errors
/// [`Error::Refused`] where something of AlgaPSA's refers to the asset that would go; otherwise what the database said.
pub async fn accept(store: &Store, tenant: Uuid, proposal_id: Uuid, entry: &Entry) -> Result<Option<Accepted>, Error> {
    let ends = store.work_ends();
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to accept a merge")?;
        let integration_id = sqlx::query_scalar!(
            "select integration_id from muster.merge_proposal where tenant = $1 and proposal_id = $2",
            tenant,
            proposal_id
        );
        let integration_id = integration_id.fetch_optional(&mut *transaction).await.attempt("read a merge")?;
        let Some(integration_id) = integration_id else { return Ok(None) };
        let Some(locked) = lock::connection(&mut transaction, tenant, integration_id).await? else { return Ok(None) };
        let pair = sqlx::query_file_as!(Pair, "sql/merge/lock_pair.sql", tenant, proposal_id);
        let pair = pair.fetch_optional(&mut *transaction).await.attempt(format!("read merge {proposal_id}"))?;
        let Some(pair) = pair else { return Ok(None) };
        let alerts = move_alerts(&mut transaction, tenant, &pair, locked.now).await?;
        let goes = Fate { merged_into: Some(pair.old_asset_id), ..Fate::missing() };
        device::tell(&mut transaction, tenant, integration_id, &[(pair.agent_id.clone(), goes)]).await?;
        drop_asset(&mut transaction, tenant, &pair).await?;
        join(&mut transaction, tenant, integration_id, &pair).await?;
        device::tell(&mut transaction, tenant, integration_id, &[(pair.agent_id.clone(), stays())]).await?;
        decide(&mut transaction, tenant, integration_id, proposal_id, &pair, entry).await?;
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await.attempt("commit a merge")?;
        let agent = (tenant, integration_id, pair.agent_id);
        Ok(Some((Accepted { asset_id: pair.old_asset_id, alerts }, agent)))
    };
    let Some((accepted, agent)) = store.within("accept a merge", ends, work).await? else { return Ok(None) };
    alert::link_until(store, &[agent], ends).await?;
    Ok(Some(accepted))
}

/// What readers hear of the asset that stays.
fn stays() -> Fate {
    // the old agent is missing, or there is nothing to merge
    let changed = &["agent_id", "is_missing"];
    Fate { change: AssetChange::Updated, changed, previous_client_id: None, merged_into: None }
}

/// The alerts of the asset that goes become those of the one that stays; their readers hear of it.
async fn move_alerts(
    connection: &mut PgConnection,
    tenant: Uuid,
    pair: &Pair,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let what = || format!("move the alerts of asset {}", pair.asset_id);
    let states = sqlx::query_file!("sql/merge/move_states.sql", tenant, pair.asset_id, pair.old_asset_id);
    let states = states.fetch_all(&mut *connection).await.attempt(what())?;
    let ids: Vec<Uuid> = states.iter().map(|state| state.alert_id).collect();
    let revs: Vec<i64> = states.iter().map(|state| state.rev).collect();
    // also those that have no state of ours yet
    let rows = sqlx::query_file!("sql/merge/move_alerts.sql", tenant, pair.asset_id, pair.old_asset_id, &ids, &revs);
    let rows = rows.fetch_all(&mut *connection).await.attempt(what())?;
    let moved = rows.len();
    let events = rows.into_iter().filter_map(|row| {
        Some(AlertChanged {
            tenant,
            alert_id: row.alert_id,
            integration_id: row.integration_id,
            rev: row.rev?,
            transition: Transition::Updated,
            agent_id: row.external_device_id.unwrap_or_default(),
            asset_id: Some(pair.old_asset_id),
            severity: row.severity,
            status: row.status,
            dedup_key: row.dedup_key,
            occurrence_count: row.occurrence_count,
            triggered_at: Some(row.triggered_at),
            resolved_at: row.resolved_at,
        })
    });
    let rows: Vec<_> = events.map(|event| NewRow::event(event, now, None)).collect();
    outbox::insert(connection, &rows).await?;
    Ok(moved)
}

async fn drop_asset(connection: &mut PgConnection, tenant: Uuid, pair: &Pair) -> Result<(), Error> {
    let asset_id = pair.asset_id;
    sqlx::query!(
        "delete from tenant_external_entity_mappings
         where tenant = $1 and integration_type = 'tacticalrmm' and alga_entity_type = 'asset' and alga_entity_id = $2",
        tenant,
        asset_id.to_string()
    )
    .execute(&mut *connection)
    .await
    .attempt("drop the link of the new asset")?;
    software::forget(connection, tenant, asset_id).await?;
    let dropped = sqlx::query!("delete from assets where tenant = $1 and asset_id = $2", tenant, asset_id);
    match dropped.execute(connection).await {
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Err(Error::Refused {
            what: format!("merge asset {asset_id} into {}", pair.old_asset_id).into(),
            reason: format!("{} refers to the new asset", error.table().unwrap_or("another table")),
        }),
        done => done.attempt(format!("delete asset {asset_id}")).map(drop),
    }
}

/// The old asset is the new agent's; the old agent is forgotten. Without a digest the next list is compared field by field;
/// the marks of what people may overwrite stay those of the old agent.
async fn join(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid, pair: &Pair) -> Result<(), Error> {
    let what = || format!("make agent {} asset {}", pair.agent_id, pair.old_asset_id);
    sqlx::query_file!(
        "sql/merge/join_agents.sql",
        tenant,
        integration_id,
        pair.agent_id,
        pair.old_agent_id,
        pair.old_asset_id
    )
    .execute(&mut *connection)
    .await
    .attempt(what())?;
    sqlx::query!(
        "delete from muster.agent where tenant = $1 and integration_id = $2 and agent_id = $3",
        tenant,
        integration_id,
        pair.old_agent_id
    )
    .execute(&mut *connection)
    .await
    .attempt(what())?;
    sqlx::query!(
        "update assets
         set rmm_device_id = $3::text, updated_at = now(),
             asset_tag = case when asset_tag = 'tactical:' || $4::text then 'tactical:' || $3::text else asset_tag end
         where tenant = $1 and asset_id = $2",
        tenant,
        pair.old_asset_id,
        pair.agent_id,
        pair.old_agent_id
    )
    .execute(&mut *connection)
    .await
    .attempt(what())?;
    sqlx::query!(
        "update tenant_external_entity_mappings set external_entity_id = $3, updated_at = now()
         where tenant = $1 and integration_type = 'tacticalrmm' and alga_entity_type = 'asset' and alga_entity_id = $2",
        tenant,
        pair.old_asset_id.to_string(),
        pair.agent_id
    )
    .execute(connection)
    .await
    .attempt(what())
    .map(drop)
}

/// This proposal is accepted; others about either agent are moot.
async fn decide(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    proposal_id: Uuid,
    pair: &Pair,
    entry: &Entry,
) -> Result<(), Error> {
    sqlx::query!(
        "update muster.merge_proposal
         set state = case when proposal_id = $3 then 'accepted' else 'dismissed' end, decided_at = now(),
             decided_by = left($6, 100)
         where tenant = $1 and integration_id = $2 and state = 'open'
           and (agent_id in ($4, $5) or old_agent_id in ($4, $5))",
        tenant,
        integration_id,
        proposal_id,
        pair.agent_id,
        pair.old_agent_id,
        entry.actor
    )
    .execute(connection)
    .await
    .attempt(format!("accept merge {proposal_id}"))
    .map(drop)
}
