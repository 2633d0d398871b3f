//! One batch of facts: one transaction, then the two short steps that look once more after the commit.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use fault::{Class, Classify};
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::change::Change;
use super::fact::{Fact, Odd};
use super::link::{self, Agent};
use super::name::{self, AlertId, Item, Names};
use super::occurrence::{self, Dedup};
use super::stored::{self, Stored};
use super::under::{self, Refused, Under};
use super::{Tries, kept, replaced, statement};
use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store, agent};

/// What became of one fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of its alert's state, now or already before.
    Stored,
    /// It names no alert: kept, and a reconciliation is wished for.
    Hint,
    /// The connection is inactive: nothing was written.
    Discarded,
    /// The connection does not exist, or is not the tenant's: nothing was written.
    NoSuchConnection,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// One for each fact, in the order of the facts.
    pub outcomes: Vec<Outcome>,
    /// Events written to the outbox: when any, wake the relay.
    pub events: u64,
}

/// What became of facts that were read from Tactical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// They are written.
    Observed(Observed),
    /// Nothing is.
    Refused(Refused),
}

/// Adds facts to the alerts that they are about. All of them, or none when it fails, but for the numbers of openings: those
/// are set right after the commit, and whoever fails there has stored the facts.
///
/// # Errors
/// What the database said; [`Error::Data`] means that one of the facts is at fault.
pub async fn observe(store: &Store, facts: &[Fact]) -> Result<Observed, Error> {
    observe_and(store, facts, Numbers::Must).await
}

/// As [`observe`], for facts of which an attempt has failed before: where the numbers of openings cannot be set right in time,
/// that is logged, and is no error.
///
/// # Errors
/// As [`observe`].
pub async fn observe_again(store: &Store, facts: &[Fact]) -> Result<Observed, Error> {
    observe_and(store, facts, Numbers::Should).await
}

/// Whether the work has failed where the numbers of openings could not be set right in time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// A connection may have gone silent just then: each message is tried again, alone and with all the time.
    Must,
    /// A key that cannot be renumbered in time would hold up every batch that comes, and park its messages.
    Should,
}

async fn observe_and(store: &Store, facts: &[Fact], numbers: Numbers) -> Result<Observed, Error> {
    let facts: Vec<Fact> = facts.iter().cloned().map(bounded).collect();
    if facts.is_empty() {
        return Ok(Observed { outcomes: Vec::new(), events: 0 });
    }
    // one end for all three steps: together they must be done before the runner gives up
    let ends = store.work_ends();
    let mut tries = Tries::default();
    let (observed, after) = loop {
        match store.within("write alerts", ends, observe_once(store, &facts)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => break done?,
        }
    };
    look_again(store, observed, after, (ends, numbers)).await
}

/// As [`observe`], for facts that were read from Tactical: nothing is written where what they were read under is no longer
/// so. The progress of a part is noted with them, also where there is none.
///
/// # Errors
/// As [`observe`].
pub async fn observe_under(store: &Store, under: &Under<'_>, facts: &[Fact]) -> Result<Written, Error> {
    let facts: Vec<Fact> = facts.iter().cloned().map(bounded).collect();
    let ends = store.work_ends();
    let mut tries = Tries::default();
    let (written, after) = loop {
        match store.within("write alerts", ends, observe_under_once(store, under, &facts)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => break done?,
        }
    };
    match written {
        Written::Observed(observed) => {
            look_again(store, observed, after, (ends, Numbers::Should)).await.map(Written::Observed)
        }
        refused => Ok(refused),
    }
}

/// What is done once more after the commit, by whoever commits later of two that did not see each other.
async fn look_again(
    store: &Store,
    mut observed: Observed,
    after: After,
    (ends, numbers): (Instant, Numbers),
) -> Result<Observed, Error> {
    let agents: Vec<Agent> = after.agents.into_iter().collect();
    observed.events += link::link_until(store, &agents, ends).await?;
    if let Err(error) = occurrence::recount(store, &after.openings, ends).await {
        match error.class() {
            Class::Outage | Class::Contention => return Err(error),
            Class::Retryable { .. } if numbers == Numbers::Must => return Err(error),
            // the batch is stored: a number that is off is no reason to park its messages
            _ => tracing::warn!(error = %fault::chain(&error), "the openings around some alerts keep their numbers"),
        }
    }
    Ok(observed)
}

fn bounded(mut fact: Fact) -> Fact {
    if fact.bound() && !fact.odd.contains(&Odd::Cut) {
        fact.odd.push(Odd::Cut);
    }
    fact
}

/// What is to be looked at once more after the commit, also where nothing changed: the commit before may have been the
/// last thing that a worker did.
#[derive(Default)]
struct After {
    agents: BTreeSet<Agent>,
    openings: BTreeSet<(Dedup, AlertId)>,
}

async fn observe_once(store: &Store, facts: &[Fact]) -> Result<(Observed, After), Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to write alerts")?;
    let observed = observe_in(&mut transaction, facts).await?;
    transaction.commit().await.attempt("commit alerts")?;
    Ok(observed)
}

async fn observe_under_once(store: &Store, under: &Under<'_>, facts: &[Fact]) -> Result<(Written, After), Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to write alerts")?;
    if let Some(refused) = under::hold(&mut transaction, under).await? {
        return Ok((Written::Refused(refused), After::default()));
    }
    let (observed, after) = observe_in(&mut transaction, facts).await?;
    under::advance(&mut transaction, under).await?;
    transaction.commit().await.attempt("commit alerts")?;
    Ok((Written::Observed(observed), after))
}

async fn observe_in(connection: &mut PgConnection, facts: &[Fact]) -> Result<(Observed, After), Error> {
    let connections = connections(connection, facts).await?;
    let (outcomes, items) = sort(facts, &connections);
    let mut changes = changes(connection, &items).await?;
    let mut after = After::default();
    for change in &changes {
        after.agents.extend(change.agent());
        after.openings.extend(change.opening_to_check().map(|opening| (opening.dedup, change.alert)));
    }
    changes.retain(Change::is_news);
    complete(connection, &mut changes).await?;
    let now = connections.values().map(|connection| connection.now).next();
    if let Some(now) = now {
        write(connection, &changes, now).await?;
    }
    let odd = odd(facts, &outcomes);
    let has_api = |fact: &Fact| connections.get(&(fact.tenant, fact.integration_id)).is_some_and(|it| it.has_api);
    let events = now.map(|now| events(&changes, &connections, now)).unwrap_or_default();
    let events = finish(connection, &changes, &events, &odd, has_api).await?;
    Ok((Observed { outcomes, events }, after))
}

/// A connection that a fact names.
struct Connection {
    is_active: bool,
    has_api: bool,
    /// A poll has shown all of its open alerts before.
    is_imported: bool,
    now: DateTime<Utc>,
}

/// Connections by tenant and integration.
type Connections = HashMap<(Uuid, Uuid), Connection>;

async fn connections(connection: &mut PgConnection, facts: &[Fact]) -> Result<Connections, Error> {
    let named: BTreeSet<(Uuid, Uuid)> = facts.iter().map(|fact| (fact.tenant, fact.integration_id)).collect();
    let (tenants, integrations): (Vec<Uuid>, Vec<Uuid>) = named.into_iter().unzip();
    let rows = sqlx::query_file!("sql/alert/find_integrations.sql", &tenants, &integrations)
        .fetch_all(connection)
        .await
        .attempt(format!("read {} connections", tenants.len()))?;
    let connections = rows.into_iter().map(|row| {
        let (is_active, has_api, is_imported) = (row.is_active, row.has_api, row.is_imported);
        ((row.tenant, row.integration_id), Connection { is_active, has_api, is_imported, now: row.now })
    });
    Ok(connections.collect())
}

/// What each fact is, and those that are about an alert.
fn sort(facts: &[Fact], connections: &Connections) -> (Vec<Outcome>, Vec<Item>) {
    let mut items = Vec::new();
    let outcomes = facts.iter().map(|fact| match connections.get(&(fact.tenant, fact.integration_id)) {
        None => Outcome::NoSuchConnection,
        Some(connection) if !connection.is_active => Outcome::Discarded,
        Some(connection) => {
            let keys = fact.keys(connection.has_api);
            if keys.is_empty() {
                return Outcome::Hint;
            }
            items.push(Item { fact: fact.clone(), keys });
            Outcome::Stored
        }
    });
    (outcomes.collect(), items)
}

/// What is to be kept: hints, and what was marked as odd.
fn odd(facts: &[Fact], outcomes: &[Outcome]) -> Vec<Fact> {
    let mut odd = Vec::new();
    for (fact, outcome) in facts.iter().zip(outcomes) {
        let is_hint = *outcome == Outcome::Hint;
        if is_hint || (*outcome == Outcome::Stored && !fact.odd.is_empty()) {
            let mut fact = fact.clone();
            fact.odd.extend(is_hint.then_some(Odd::Hint));
            odd.push(fact);
        }
    }
    odd
}

/// Claims the names, takes the locks, and joins what is stored with what the batch says.
async fn changes(connection: &mut PgConnection, items: &[Item]) -> Result<Vec<Change>, Error> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let names = name::claim(connection, items).await?;
    let stored = lock(connection, &names).await?;
    let numbers = stored.iter().filter_map(|(alert, stored)| Some((*alert, stored.state.number.clone()?))).collect();
    let mut changes: Vec<Change> = name::components(items, &names, &numbers)
        .into_iter()
        .map(|component| Change::of(component, items, &names.alerts, &stored))
        .collect();
    changes.sort_unstable_by_key(|change| change.alert);
    Ok(changes)
}

async fn lock(connection: &mut PgConnection, names: &Names) -> Result<HashMap<AlertId, Stored>, Error> {
    let integrations: HashMap<AlertId, Uuid> = names.alerts.iter().map(|(name, alert)| (*alert, name.1)).collect();
    let alerts: BTreeSet<(AlertId, Uuid)> =
        names.to_lock().into_iter().map(|alert| (alert, integrations[&alert])).collect();
    let made = stored::lock(connection, &alerts).await?;
    // an alert that AlgaPSA knew and we did not is made by the lock; one that a name of ours led to is gone
    if alerts.iter().any(|(alert, _)| made.contains(&alert.1) && names.is_known(*alert)) {
        return Err(super::raced("lock alerts"));
    }
    let stored = stored::read(connection, &alerts).await?;
    if stored.values().any(|stored| replaced::is_replaced(&stored.state)) {
        // its server was replaced between the two looks: the names that led there are gone
        return Err(super::raced("lock alerts"));
    }
    Ok(stored)
}

/// What is not in the facts: the assets, and the numbers of the openings.
pub(super) async fn complete(connection: &mut PgConnection, changes: &mut [Change]) -> Result<(), Error> {
    let agents: BTreeSet<Agent> = changes.iter().filter_map(Change::agent_to_link).collect();
    let assets = link::find_assets(connection, &agents).await?;
    let mut openings = Vec::new();
    for change in &mut *changes {
        change.link(&assets);
        openings.extend(change.moved_opening());
    }
    openings.sort_unstable();
    let numbers = occurrence::number(connection, &openings).await?;
    let numbers: HashMap<Uuid, i32> = openings.iter().map(|opening| opening.alert_id).zip(numbers).collect();
    for change in changes {
        change.occurrence = numbers.get(&change.alert.1).copied().unwrap_or(change.occurrence);
    }
    Ok(())
}

/// Writes states and visible rows.
pub(super) async fn write(connection: &mut PgConnection, changes: &[Change], now: DateTime<Utc>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let states: Vec<_> = changes.iter().map(Change::state_row).collect();
    if stored::write(connection, &states).await? != states.len() {
        return Err(super::raced("write alerts"));
    }
    let moved: Vec<_> =
        changes.iter().flat_map(|change| change.moved.iter().map(|name| (name.clone(), change.alert))).collect();
    name::repoint(connection, &moved).await?;
    let rows: Vec<_> = changes.iter().filter_map(Change::alert_row).collect();
    sqlx::query_file!("sql/alert/write_alerts.sql", stored::json(&rows), now)
        .execute(&mut *connection)
        .instrument(statement("INSERT", "rmm_alerts", rows.len()))
        .await
        .attempt(format!("write {} alerts", rows.len()))?;
    let doubles: Vec<_> = changes.iter().flat_map(Change::doubles).collect();
    stored::drop_doubles(connection, &doubles).await?;
    let left: BTreeSet<Dedup> = changes.iter().flat_map(Change::left).collect();
    occurrence::note_left(connection, &left).await
}

/// What leaves. What a connection's first poll finds is part of one import and not told one by one.
fn events(changes: &[Change], connections: &Connections, now: DateTime<Utc>) -> Vec<NewRow> {
    let is_import = |change: &Change| {
        let connection = connections.get(&(change.alert.0, change.integration_id));
        change.is_found() && connection.is_some_and(|connection| !connection.is_imported)
    };
    let told = changes.iter().filter(|change| !is_import(change)).flat_map(Change::events);
    told.map(|(event, trace)| NewRow::event(event, now, trace)).collect()
}

/// Notes what is to be read, and writes what leaves; how many events.
pub(super) async fn finish(
    connection: &mut PgConnection,
    changes: &[Change],
    events: &[NewRow],
    odd: &[Fact],
    has_api: impl Fn(&Fact) -> bool,
) -> Result<u64, Error> {
    let wishes = kept::keep(connection, odd, has_api).await?;
    let mut refreshes = wishes.refreshes.clone();
    refreshes.extend(changes.iter().flat_map(|change| change.refreshes.iter().cloned()));
    refreshes.retain(|(_, _, agent_id)| !agent_id.is_empty());
    agent::note_refresh(connection, &refreshes).await?;
    let written =
        outbox::insert(connection, events).instrument(statement("INSERT", "muster.outbox", events.len())).await?;
    outbox::insert(connection, &kept::fetches(&wishes.fetches)).await?;
    wishes.note(connection).await?;
    Ok(written)
}
