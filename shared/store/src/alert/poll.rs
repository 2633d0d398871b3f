//! What a poll of Tactical needs of the store: which of its facts are news, which alerts it should have shown, and what the
//! poll before came to.
//!
//! A poll says the same about every open alert every few minutes. Only what changes something becomes a fact; the rest is read
//! and left. That is safe without locks: what comes between the look and the fact is newer than the poll, and the next poll
//! says again what this one left out.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fact::{Fact, Key, Said};
use super::name::AlertId;
use super::state::State;
use super::stored::{self, Stored};
use super::view::view;
use crate::error::Attempt;
use crate::{Error, Store};

/// Open alerts of one connection that are looked at; above it the oldest numbers come first, and the next poll goes on.
pub const OPEN_ALERTS_MAX: i64 = 100_000;

/// A fact that is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// The fact.
    pub fact: Fact,
    /// The alert was not known.
    pub is_new: bool,
}

/// Of a poll's facts about numbered alerts of one connection those that change what a reader sees, that answer a wish to read
/// the alert, or that undo what a person has closed.
///
/// # Errors
/// What the database said.
pub async fn news(store: &Store, facts: Vec<Fact>) -> Result<Vec<Polled>, Error> {
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let work = async {
        let mut connection = store.pool().acquire().await.attempt("look for known alerts")?;
        let numbered: Vec<(&Fact, Vec<Key>)> = facts.iter().map(|fact| (fact, fact.keys(true))).collect();
        let (mut tenants, mut integrations, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (fact, names) in &numbered {
            if let Some(key @ Key::Number(_)) = names.first() {
                tenants.push(fact.tenant);
                integrations.push(fact.integration_id);
                keys.push(key.text());
            }
        }
        let found = sqlx::query_file!("sql/alert/find_keys.sql", &tenants, &integrations, &keys)
            .fetch_all(&mut *connection)
            .await
            .attempt(format!("read {} alert keys", keys.len()))?;
        let named: HashMap<String, (AlertId, Uuid)> =
            found.into_iter().map(|row| (row.key, ((row.tenant, row.alert_id), row.integration_id))).collect();
        let alerts: BTreeSet<(AlertId, Uuid)> = named.values().copied().collect();
        let known = stored::read(&mut connection, &alerts).await?;
        Ok((numbered.iter())
            .filter_map(|(fact, names)| {
                let alert = names.first().and_then(|key| named.get(&key.text()));
                judge(fact, names, alert.and_then(|(alert, _)| known.get(alert)))
            })
            .collect())
    };
    store.within("look for known alerts", store.work_ends(), work).await
}

fn judge(fact: &Fact, names: &[Key], known: Option<&Stored>) -> Option<Polled> {
    let news = |is_new| Some(Polled { fact: fact.clone(), is_new });
    let Some(stored) = known else { return news(true) };
    let (Some(before), Some(row)) = (view(&stored.state), &stored.row) else { return news(true) };
    if fact.said != Said::PolledOpen && before.is_resolved() {
        return None;
    }
    let mut state = stored.state.clone();
    state.join(&State::of(fact, names));
    let is_wanted = stored.state.fetch_wanted_at.is_some_and(|wanted_at| Some(wanted_at) > before.open_polled_at);
    let is_closed_by_hand = !before.is_resolved() && matches!(row.status.as_str(), "resolved" | "auto_resolved");
    let looks_same = view(&state).is_some_and(|after| after.looks_like(&before));
    if looks_same && !is_wanted && !is_closed_by_hand { None } else { news(false) }
}

/// An alert that is open here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    /// Tactical's number of it, or a name made of what is known.
    pub external_alert_id: String,
    /// Its agent; empty or absent where it has none.
    pub agent_id: Option<String>,
    /// The incarnation.
    pub alert_time: Option<DateTime<Utc>>,
    /// Tactical's number of the client where the agent was last seen, or of the one that the alert named.
    pub client_id: Option<String>,
    /// Tactical's number of the site that the alert named, where the agent itself was never read.
    pub site_id: Option<String>,
    /// The site's name where the agent was last seen.
    pub site_name: Option<String>,
}

/// The alerts of a connection that are open here and were known before that moment, at most [`OPEN_ALERTS_MAX`].
///
/// # Errors
/// What the database said.
pub async fn open_before(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    before: DateTime<Utc>,
) -> Result<Vec<OpenAlert>, Error> {
    let rows =
        sqlx::query_file_as!(OpenAlert, "sql/alert/find_open.sql", tenant, integration_id, before, OPEN_ALERTS_MAX);
    store.run("read the open alerts of a connection", rows.fetch_all(store.pool())).await
}

/// What the polls of a connection came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastPoll {
    /// When the last poll that came to its end had asked.
    pub polled_at: Option<DateTime<Utc>>,
    /// Agents that the last poll was shown, whatever came of it.
    pub agents_listed: Option<i32>,
    /// Open alerts whose webhook Tactical could not deliver.
    pub undelivered: i32,
    /// When it last tried one of them.
    pub undelivered_at: Option<DateTime<Utc>>,
    /// Open alerts of which nobody can tell whether they are still open.
    pub unverifiable: i32,
}

/// What the last poll of a connection came to; the default where there was none.
///
/// # Errors
/// What the database said.
pub async fn last_poll(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<LastPoll, Error> {
    let row = sqlx::query_as!(
        LastPoll,
        "select polled_at, agents_listed, undelivered, undelivered_at, unverifiable
         from muster.alert_poll where tenant = $1 and integration_id = $2",
        tenant,
        integration_id
    );
    Ok(store.run("read the last poll", row.fetch_optional(store.pool())).await?.unwrap_or_default())
}

/// Notes that a poll begins, before it asks: whoever wishes for one from now on means the next.
///
/// # Errors
/// What the database said.
pub async fn begin_poll(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    let taken = sqlx::query!(
        "update muster.reconcile_wish set wished_at = null
         where tenant = $1 and integration_id = $2 and wished_at is not null",
        tenant,
        integration_id
    );
    store.run("take the wish for a reconciliation", taken.execute(store.pool())).await.map(drop)
}

/// Notes how many agents a poll was shown, whatever comes of it.
///
/// # Errors
/// What the database said.
pub async fn note_agents(store: &Store, tenant: Uuid, integration_id: Uuid, listed: usize) -> Result<(), Error> {
    let noted = sqlx::query!(
        // not of a connection that was switched off meanwhile: what is removed is not to come back
        "insert into muster.alert_poll as p (tenant, integration_id, agents_listed)
         select tenant, integration_id, $3 from rmm_integrations
         where tenant = $1 and integration_id = $2 and is_active
         on conflict (tenant, integration_id) do update set agents_listed = excluded.agents_listed
         where p.agents_listed is distinct from excluded.agents_listed",
        tenant,
        integration_id,
        bounded(listed)
    );
    store.run("note the agents of a poll", noted.execute(store.pool())).await.map(drop)
}

/// Notes what a poll that came to its end has found. One that asked earlier does not overwrite it.
///
/// # Errors
/// What the database said.
pub async fn end_poll(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    polled_at: DateTime<Utc>,
    undelivered: (usize, Option<DateTime<Utc>>),
    unverifiable: usize,
) -> Result<(), Error> {
    let noted = sqlx::query!(
        "insert into muster.alert_poll as p
             (tenant, integration_id, polled_at, undelivered, undelivered_at, unverifiable)
         select tenant, integration_id, $3, $4, $5, $6 from rmm_integrations
         where tenant = $1 and integration_id = $2 and is_active
         on conflict (tenant, integration_id) do update
         set polled_at = excluded.polled_at, undelivered = excluded.undelivered,
             undelivered_at = coalesce(excluded.undelivered_at, p.undelivered_at), unverifiable = excluded.unverifiable
         where p.polled_at is null or p.polled_at < excluded.polled_at",
        tenant,
        integration_id,
        polled_at,
        bounded(undelivered.0),
        undelivered.1,
        bounded(unverifiable)
    );
    store.run("note what a poll found", noted.execute(store.pool())).await.map(drop)
}

fn bounded(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
