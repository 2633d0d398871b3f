//! The link from an alert to the asset of its agent: an idempotent step after the commit, on both sides.
//!
//! An alert and an asset may be committed at the same moment by two transactions that do not see each other. Each side
//! therefore looks once more *after* its own commit: whichever commits later sees both.
//!
//! A link is told as a change of the alert, but for that to a device whose client is still being imported.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use contract::event::{AlertChanged, Transition};
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Transaction};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Tries, stored};
use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store, lock};

/// An agent: tenant, integration, Tactical's id.
pub type Agent = (Uuid, Uuid, String);

/// The asset of each of these agents that has one.
pub(crate) async fn find_assets(
    connection: &mut PgConnection,
    agents: &BTreeSet<Agent>,
) -> Result<HashMap<Agent, Uuid>, Error> {
    if agents.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    let integrations: Vec<Uuid> = agents.iter().map(|agent| agent.1).collect();
    let ids: Vec<&str> = agents.iter().map(|agent| agent.2.as_str()).collect();
    lock::by_key(connection).await?;
    let found = sqlx::query_file!("sql/alert/find_assets.sql", &tenants, &integrations, &ids as _)
        .fetch_all(&mut *connection)
        .await
        .attempt(format!("read the assets of {} agents", agents.len()))?;
    Ok(found.into_iter().map(|row| ((row.tenant, row.integration_id, row.agent_id), row.asset_id)).collect())
}

/// Links the alerts of these agents that wait for their asset; how many of the links it told.
///
/// To be called after a commit that may have made an alert or an asset visible, also when nothing changed: a crash between
/// the two transactions is healed by the next call. An alert that has an asset keeps it.
///
/// # Errors
/// What the database said.
pub async fn link(store: &Store, agents: &[Agent]) -> Result<u64, Error> {
    link_until(store, agents, store.work_ends()).await
}

/// [`link`] for agents whose assets the caller has just committed: they need not be looked for, unless one was deleted since.
pub(crate) async fn link_assets(store: &Store, assets: &HashMap<Agent, Uuid>, ends: Instant) -> Result<u64, Error> {
    let work = async {
        let transaction = store.pool().begin().await.attempt("begin to link alerts")?;
        link_to(transaction, assets).await
    };
    match store.within("link alerts", ends, work).await {
        Err(error) if Tries::default().is_worth_another(&error) => {
            let agents: Vec<Agent> = assets.keys().cloned().collect();
            link_until(store, &agents, ends).await
        }
        done => done,
    }
}

/// [`link`] as a part of work that must be done by then.
pub(crate) async fn link_until(store: &Store, agents: &[Agent], ends: Instant) -> Result<u64, Error> {
    let agents: BTreeSet<Agent> = agents.iter().filter(|agent| !agent.2.is_empty()).cloned().collect();
    if agents.is_empty() {
        return Ok(0);
    }
    let mut tries = Tries::default();
    loop {
        match store.within("link alerts", ends, link_once(store, &agents)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => return done,
        }
    }
}

/// A waiting alert with the asset that it waits for.
struct Waiting {
    tenant: Uuid,
    alert_id: Uuid,
    integration_id: Uuid,
    agent_id: String,
    asset_id: Uuid,
    is_told: bool,
}

async fn link_once(store: &Store, agents: &BTreeSet<Agent>) -> Result<u64, Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to link alerts")?;
    let assets = find_assets(&mut transaction, agents).await?;
    link_to(transaction, &assets).await
}

async fn link_to(mut transaction: Transaction<'_, Postgres>, assets: &HashMap<Agent, Uuid>) -> Result<u64, Error> {
    lock::by_key(&mut transaction).await?;
    let waiting = find_waiting(&mut transaction, assets).await?;
    if waiting.is_empty() {
        // nothing was written; giving the connection back rolls back
        return Ok(0);
    }
    let locked = waiting.iter().map(|one| ((one.tenant, one.alert_id), one.integration_id)).collect();
    if !stored::lock(&mut transaction, &locked).await?.is_empty() {
        return Err(super::raced("link alerts"));
    }
    let events = write(&mut transaction, &waiting).await?;
    outbox::insert(&mut transaction, &events).await?;
    transaction.commit().await.attempt("commit linked alerts")?;
    Ok(events.len() as u64)
}

async fn find_waiting(connection: &mut PgConnection, assets: &HashMap<Agent, Uuid>) -> Result<Vec<Waiting>, Error> {
    if assets.is_empty() {
        return Ok(Vec::new());
    }
    let tenants: Vec<Uuid> = assets.keys().map(|agent| agent.0).collect();
    let integrations: Vec<Uuid> = assets.keys().map(|agent| agent.1).collect();
    let agents: Vec<&str> = assets.keys().map(|agent| agent.2.as_str()).collect();
    let ids: Vec<Uuid> = assets.values().copied().collect();
    sqlx::query_file_as!(Waiting, "sql/alert/find_unlinked.sql", &tenants, &integrations, &agents as _, &ids)
        .fetch_all(connection)
        .await
        .attempt(format!("read the alerts of {} agents that wait for an asset", assets.len()))
}

/// Links them; the events that tell it, where that is to be told.
async fn write(connection: &mut PgConnection, waiting: &[Waiting]) -> Result<Vec<NewRow>, Error> {
    let tenants: Vec<Uuid> = waiting.iter().map(|one| one.tenant).collect();
    let ids: Vec<Uuid> = waiting.iter().map(|one| one.alert_id).collect();
    let agents: Vec<&str> = waiting.iter().map(|one| one.agent_id.as_str()).collect();
    let assets: Vec<Uuid> = waiting.iter().map(|one| one.asset_id).collect();
    let what = || format!("link {} alerts", waiting.len());
    let linked = sqlx::query_file!("sql/alert/link_states.sql", &tenants, &ids, &agents as _, &assets)
        .fetch_all(&mut *connection)
        .await
        .attempt(what())?;
    let tenants: Vec<Uuid> = linked.iter().map(|row| row.tenant).collect();
    let ids: Vec<Uuid> = linked.iter().map(|row| row.alert_id).collect();
    let assets: Vec<Uuid> = linked.iter().map(|row| row.asset_id).collect();
    let revs: Vec<i64> = linked.iter().map(|row| row.rev).collect();
    let now: DateTime<Utc> =
        sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *connection).await.attempt(what())?;
    let rows = sqlx::query_file!("sql/alert/link_alerts.sql", &tenants, &ids, &assets, &revs, now)
        .fetch_all(&mut *connection)
        .await
        .attempt(what())?;
    let told: HashSet<(Uuid, Uuid)> =
        waiting.iter().filter(|one| one.is_told).map(|one| (one.tenant, one.alert_id)).collect();
    let rows = rows.into_iter().filter(|row| told.contains(&(row.tenant, row.alert_id)));
    let events = rows.map(|row| AlertChanged {
        tenant: row.tenant,
        alert_id: row.alert_id,
        integration_id: row.integration_id,
        rev: row.rev,
        transition: Transition::Updated,
        agent_id: row.external_device_id.unwrap_or_default(),
        asset_id: Some(row.asset_id),
        severity: row.severity,
        status: row.status,
        dedup_key: row.dedup_key,
        occurrence_count: row.occurrence_count,
        triggered_at: Some(row.triggered_at),
        resolved_at: row.resolved_at,
    });
    Ok(events.map(|event| NewRow::event(event, now, None)).collect())
}
