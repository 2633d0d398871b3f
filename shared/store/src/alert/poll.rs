//! What a poll of Tactical needs of the store: which of its facts are news, which alerts it should have shown, and what the
//! poll before came to.
//!
//! A poll says the same about every open alert every few minutes. Only what changes something becomes a fact; the rest is read
//! and left. That is safe without locks: what comes between the look and the fact is newer than the poll, and the next poll
//! says again what this one left out.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::fact::{Fact, Key, Said};
use super::name::AlertId;
use super::state::State;
use super::stored::{self, Stored};
use super::under::{self, Refused, Under};
use super::view::view;
use crate::error::Attempt;
use crate::{Error, Store};

/// Open alerts of one connection that are read at once.
pub const OPEN_ALERTS_PAGE: i64 = 10_000;

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
    // what is over needs nobody to say so again, unless another failure under the number is meant
    if fact.said != Said::PolledOpen && before.is_resolved() && fact.alert_time <= stored.state.alert_time {
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
    /// The alert.
    pub alert_id: Uuid,
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

/// Shows every alert of a connection that is open here and was known before that moment, in the order of their ids; at most
/// [`OPEN_ALERTS_PAGE`] are read at a time.
///
/// # Errors
/// What the database said.
pub async fn each_open_before(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    before: DateTime<Utc>,
    mut show: impl FnMut(OpenAlert) + Send,
) -> Result<(), Error> {
    let mut after: Option<Uuid> = None;
    loop {
        let rows = sqlx::query_file_as!(
            OpenAlert,
            "sql/alert/find_open.sql",
            tenant,
            integration_id,
            before,
            after,
            OPEN_ALERTS_PAGE
        );
        let page = store.run("read the open alerts of a connection", rows.fetch_all(store.pool())).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.alert_id);
        page.into_iter().for_each(&mut show);
    }
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
    /// When it last tried one that it could not deliver.
    pub undelivered_at: Option<DateTime<Utc>>,
    /// Since when a look at the alerts of the last day is wanted, for those that opened and closed unseen.
    pub backfill_wanted_at: Option<DateTime<Utc>>,
}

/// What the last poll of a connection came to; the default where there was none.
///
/// # Errors
/// What the database said.
pub async fn last_poll(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<LastPoll, Error> {
    let row = sqlx::query_as!(
        LastPoll,
        "select polled_at, agents_listed, undelivered, undelivered_at, backfill_wanted_at
         from muster.alert_poll where tenant = $1 and integration_id = $2",
        tenant,
        integration_id
    );
    Ok(store.run("read the last poll", row.fetch_optional(store.pool())).await?.unwrap_or_default())
}

/// Notes how many agents a poll was shown, whatever comes of it. `Some`: nothing was written.
///
/// # Errors
/// What the database said.
pub async fn note_agents(store: &Store, under: &Under<'_>, listed: usize) -> Result<Option<Refused>, Error> {
    let (tenant, integration_id) = under.connection();
    held(store, "note the agents of a poll", under, async |connection| {
        let noted = sqlx::query!(
            "insert into muster.alert_poll as p (tenant, integration_id, agents_listed) values ($1, $2, $3)
             on conflict (tenant, integration_id) do update set agents_listed = excluded.agents_listed
             where p.agents_listed is distinct from excluded.agents_listed",
            tenant,
            integration_id,
            bounded(listed)
        );
        noted.execute(connection).await.attempt("note the agents of a poll").map(drop)
    })
    .await
}

/// What a poll that came to its end has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// When it asked for the open alerts.
    pub polled_at: DateTime<Utc>,
    /// Open alerts whose webhook Tactical could not deliver.
    pub undelivered: usize,
    /// When Tactical last tried one of them.
    pub undelivered_at: Option<DateTime<Utc>>,
    /// Alerts may have opened and closed unseen.
    pub is_gap: bool,
}

/// Notes what a poll has found; one that asked earlier does not overwrite it. Wishes for a reconciliation from before it
/// asked are fulfilled. `Some`: nothing was written.
///
/// # Errors
/// What the database said.
pub async fn end_poll(store: &Store, under: &Under<'_>, found: &Found) -> Result<Option<Refused>, Error> {
    let (tenant, integration_id) = under.connection();
    held(store, "note what a poll found", under, async |connection| {
        sqlx::query_file!(
            "sql/alert/end_poll.sql",
            tenant,
            integration_id,
            found.polled_at,
            bounded(found.undelivered),
            found.undelivered_at,
            found.is_gap
        )
        .execute(&mut *connection)
        .await
        .attempt("note what a poll found")?;
        sqlx::query!(
            "update muster.reconcile_wish set wished_at = null
             where tenant = $1 and integration_id = $2 and wished_at <= $3",
            tenant,
            integration_id,
            found.polled_at
        )
        .execute(connection)
        .await
        .attempt("fulfil the wish for a reconciliation")
        .map(drop)
    })
    .await
}

/// Notes that the alerts of the last day were looked at, as was wanted since `wanted_at`. `undelivered_at`: when Tactical last
/// tried a webhook of theirs that it could not deliver. `Some`: nothing was written.
///
/// # Errors
/// What the database said.
pub async fn end_backfill(
    store: &Store,
    under: &Under<'_>,
    wanted_at: DateTime<Utc>,
    undelivered_at: Option<DateTime<Utc>>,
) -> Result<Option<Refused>, Error> {
    let (tenant, integration_id) = under.connection();
    held(store, "note that a gap was looked at", under, async |connection| {
        let noted = sqlx::query!(
            "update muster.alert_poll
             set backfill_wanted_at = null, undelivered_at = greatest(undelivered_at, $4)
             where tenant = $1 and integration_id = $2 and backfill_wanted_at = $3",
            tenant,
            integration_id,
            wanted_at,
            undelivered_at
        );
        noted.execute(connection).await.attempt("note that a gap was looked at").map(drop)
    })
    .await
}

/// Writes in a transaction of its own, where that is still allowed.
async fn held(
    store: &Store,
    what: &'static str,
    under: &Under<'_>,
    write: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Error>,
) -> Result<Option<Refused>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        if let Some(refused) = under::hold(&mut transaction, under).await? {
            return Ok(Some(refused));
        }
        write(&mut transaction).await?;
        under::advance(&mut transaction, under).await?;
        transaction.commit().await.attempt(what)?;
        Ok(None)
    };
    store.within(what, store.work_ends(), work).await
}

fn bounded(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
