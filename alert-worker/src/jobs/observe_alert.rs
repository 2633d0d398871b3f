//! `alert.observed.v1`: what one webhook said about one alert becomes a fact about it.
//!
//! The whole batch is one transaction of the store. Nothing here decides which alert is meant or what state it is in: that
//! is `store::alert`, whose rule makes order and duplicates harmless. Nothing here is worth a retry of its own either:
//! an odd value is bounded and its bytes are kept, so the only failures are the database's, and a message that names
//! another tenant's connection.

use contract::AlertObserved;
use contract::alert_observed::{Said as Word, TemplateMistake};
use fault::{Class, Classify, JobError};
use store::Store;
use store::alert::{self, Details, Fact, Odd, Said, Severity};
use uuid::Uuid;
use worker::{Done, Job, Outcome, Received};

/// The job.
#[derive(Debug, Clone)]
pub struct ObserveAlert {
    store: Store,
}

impl ObserveAlert {
    /// On this store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }
}

impl Job for ObserveAlert {
    type Message = AlertObserved;

    async fn run(&self, batch: &[Received<AlertObserved>]) -> Result<Vec<Outcome>, JobError> {
        let facts: Vec<Fact> = batch.iter().map(fact).collect();
        let is_fresh = batch.iter().any(|received| received.meta.attempt == 0);
        let observed = match is_fresh {
            true => alert::observe(&self.store, &facts).await?,
            false => alert::observe_again(&self.store, &facts).await?,
        };
        Ok(observed.outcomes.into_iter().zip(&facts).map(|(outcome, fact)| answer(outcome, fact)).collect())
    }
}

/// The message names a connection that its tenant does not have.
#[derive(Debug, thiserror::Error)]
#[error("cannot observe an alert: tenant {tenant} has no connection {integration_id}")]
struct NoSuchConnection {
    tenant: Uuid,
    integration_id: Uuid,
}

impl Classify for NoSuchConnection {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

fn answer(outcome: alert::Outcome, fact: &Fact) -> Outcome {
    match outcome {
        alert::Outcome::Stored => Ok(Done::Applied),
        alert::Outcome::Hint => Ok(Done::Discarded("hint")),
        alert::Outcome::Discarded => Ok(Done::Discarded("inactive")),
        alert::Outcome::NoSuchConnection => {
            Err(NoSuchConnection { tenant: fact.tenant, integration_id: fact.integration_id }.into())
        }
    }
}

/// The fact that a message is, within the bounds of the columns that it goes to.
#[must_use]
pub fn fact(received: &Received<AlertObserved>) -> Fact {
    let message = &received.payload;
    let mut fact = Fact {
        tenant: received.meta.tenant,
        integration_id: message.integration_id,
        said: match message.said {
            Word::Open => Said::Open,
            Word::Resolve => Said::Resolve,
        },
        at: message.received_at,
        agent_id: message.agent_id.clone(),
        number: message.alert_id.clone(),
        alert_time: message.alert_time,
        needs_fetch: message.needs_fetch,
        details: Details {
            severity: message.severity.as_deref().map(Severity::of),
            message: message.message.clone(),
            alert_type: message.alert_type.clone(),
            check_id: message.check_id.clone(),
            host_name: message.hostname.clone(),
            client_id: message.client_id.clone(),
            site_id: message.site_id.clone(),
            ..Details::default()
        },
        odd: Vec::new(),
        raw: message.raw.clone(),
        traceparent: received.meta.traceparent.clone(),
    };
    let was_cut = fact.bound();
    fact.odd = odd(message, was_cut);
    fact
}

/// Why the bytes of the request are worth keeping.
fn odd(message: &AlertObserved, was_cut: bool) -> Vec<Odd> {
    let mistake = message.template_mistake.map(|mistake| match mistake {
        TemplateMistake::VerbatimEvent => Odd::VerbatimEvent,
        TemplateMistake::NegatedResolve => Odd::NegatedResolve,
    });
    let is_unknown = |word: &str| Severity::of(word) == Severity::None && !word.trim().eq_ignore_ascii_case("none");
    [
        was_cut.then_some(Odd::Cut),
        message.needs_fetch.then_some(Odd::Salvaged),
        message.truncated.then_some(Odd::Truncated),
        message.severity.as_deref().is_some_and(is_unknown).then_some(Odd::UnknownSeverity),
        mistake,
    ]
    .into_iter()
    .flatten()
    .collect()
}
