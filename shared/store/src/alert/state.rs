//! What is known about one alert, as a join semilattice over the set of facts.
//!
//! [`State::of`] is one fact's state, [`State::join`] the union of two. The join is commutative, associative and
//! idempotent, so any order, any duplication and any split of the same facts ends in the same state.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fact::{Details, Fact, Key, Said, Snooze};

/// Digests kept per alert: 1 KiB. Tactical says two things about an alert, the reconciliation speaks only of what changed;
/// whoever says more than this about one alert pushes the oldest out. A copy of a fact that was pushed out raises the
/// revision once more and changes nothing else.
pub const DIGESTS_MAX: usize = 128;

type Stamp = Option<DateTime<Utc>>;

/// The stamps of one incarnation. All but the first are the greatest of their kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// The least stamp of an open.
    pub(crate) opened_at: Stamp,
    pub(crate) resolve_said_at: Stamp,
    pub(crate) absent_at: Stamp,
    pub(crate) open_polled_at: Stamp,
}

impl Stamps {
    fn join(&mut self, other: &Self) {
        self.opened_at = least(self.opened_at, other.opened_at);
        self.resolve_said_at = self.resolve_said_at.max(other.resolve_said_at);
        self.absent_at = self.absent_at.max(other.absent_at);
        self.open_polled_at = self.open_polled_at.max(other.open_polled_at);
    }
}

/// The earlier of two, where one may be unknown.
pub(crate) fn least(a: Stamp, b: Stamp) -> Stamp {
    a.into_iter().chain(b).min()
}

/// A detail's name; the letter is what stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Field {
    #[serde(rename = "a")]
    Agent,
    #[serde(rename = "v")]
    Severity,
    #[serde(rename = "m")]
    Message,
    #[serde(rename = "t")]
    Type,
    #[serde(rename = "k")]
    Check,
    #[serde(rename = "h")]
    HostName,
    #[serde(rename = "c")]
    Client,
    #[serde(rename = "s")]
    Site,
    #[serde(rename = "z")]
    Snooze,
    #[serde(rename = "i")]
    Hidden,
}

/// One detail as the best source told it. The order of the fields is the order of precedence, the value breaks ties.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Told(
    /// Who told it, see [`rank`].
    pub(crate) u8,
    /// When, microseconds since the epoch.
    pub(crate) i64,
    /// What.
    pub(crate) String,
);

/// How much a fact's details count. Of one incarnation a poll knows more than webhooks, and a resolve more than the open
/// that it may overtake on its way; without an `alert_time` nobody knows which incarnation is meant, and the newest counts.
fn rank(fact: &Fact) -> u8 {
    match fact.said {
        _ if fact.alert_time.is_none() => 0,
        Said::Open | Said::Absent => 0,
        Said::Resolve => 1,
        Said::PolledOpen | Said::PolledClosed => 2,
    }
}

/// The details: for each the greatest that anybody told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DetailsTold(pub(crate) BTreeMap<Field, Told>);

impl DetailsTold {
    fn of(fact: &Fact) -> Self {
        let rank = rank(fact);
        let Details { severity, message, alert_type, check_id, host_name, client_id, site_id, snooze, hidden } =
            fact.details.clone();
        let told = [
            (Field::Agent, Some(fact.agent_id.clone()).filter(|agent| !agent.is_empty())),
            (Field::Severity, severity.map(|severity| severity.as_str().to_owned())),
            (Field::Message, message),
            (Field::Type, alert_type),
            (Field::Check, check_id),
            (Field::HostName, host_name),
            (Field::Client, client_id),
            (Field::Site, site_id),
            (Field::Snooze, snooze.map(Snooze::text)),
            (Field::Hidden, hidden.map(|hidden| hidden.to_string())),
        ];
        let at = fact.at.timestamp_micros();
        Self(told.into_iter().filter_map(|(field, value)| Some((field, Told(rank, at, value?)))).collect())
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (field, told) in &other.0 {
            match self.0.get_mut(field) {
                Some(mine) if *mine >= *told => {}
                Some(mine) => mine.clone_from(told),
                None => drop(self.0.insert(*field, told.clone())),
            }
        }
    }
}

/// Which facts are known, by digest.
///
/// Beyond [`DIGESTS_MAX`] the first to arrive are forgotten: a copy of such a fact counts once more in the revision and
/// changes nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    /// Distinct facts that were counted.
    pub(crate) facts: i64,
    /// The newest [`DIGESTS_MAX`] of them, in the order of their arrival.
    pub(crate) known: Vec<u64>,
}

impl Digests {
    /// Whether any of the other's facts was counted here.
    pub(crate) fn knows(&self, other: &Self) -> bool {
        other.known.iter().any(|digest| self.known.contains(digest))
    }

    fn join(&mut self, other: &Self) {
        let forgotten = other.facts - other.known.len() as i64;
        let new: Vec<u64> = other.known.iter().copied().filter(|digest| !self.known.contains(digest)).collect();
        self.facts += new.len() as i64 + forgotten;
        self.known.extend(new);
        self.known.drain(..self.known.len().saturating_sub(DIGESTS_MAX));
    }
}

/// The facts of one group, joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) stamps: Stamps,
    pub(crate) details: DetailsTold,
}

impl Group {
    fn join(&mut self, other: &Self) {
        self.stamps.join(&other.stamps);
        self.details.join(&other.details);
    }
}

/// Everything that is known about one alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The incarnation: the greatest `alert_time` that any fact had.
    pub(crate) alert_time: Stamp,
    /// The facts of that `alert_time`; those of earlier ones are only counted.
    pub(crate) timed: Group,
    /// The facts without an `alert_time`.
    pub(crate) loose: Group,
    /// Tactical's number, once any fact had it.
    pub(crate) number: Option<String>,
    /// The key that stands in for the number while there is none.
    pub(crate) place: Option<String>,
    /// The newest salvaged fact: the alert is to be read unless a poll began later.
    pub(crate) fetch_wanted_at: Stamp,
    pub(crate) digests: Digests,
}

impl State {
    /// What one fact says, under the keys that it has.
    pub(crate) fn of(fact: &Fact, keys: &[Key]) -> Self {
        let mut state = Self { digests: Digests { facts: 1, known: vec![fact.digest()] }, ..Self::default() };
        for key in keys {
            match key {
                Key::Number(number) => state.number = Some(number.clone()),
                Key::Place(_) | Key::Device(_) => state.place = Some(key.text()),
            }
        }
        state.fetch_wanted_at = fact.needs_fetch.then_some(fact.at);
        if fact.needs_fetch && fact.said == Said::Resolve {
            // never final: a broken body may say anything
            return state;
        }
        let is_device = matches!(keys, [Key::Device(_)]);
        let group = Group { stamps: stamps_of(fact, is_device), details: DetailsTold::of(fact) };
        state.alert_time = fact.alert_time;
        *(if fact.alert_time.is_some() { &mut state.timed } else { &mut state.loose }) = group;
        state
    }

    /// The union: afterwards `self` knows what either knew.
    pub(crate) fn join(&mut self, other: &Self) {
        match self.alert_time.cmp(&other.alert_time) {
            std::cmp::Ordering::Less => self.timed = other.timed.clone(),
            std::cmp::Ordering::Equal => self.timed.join(&other.timed),
            std::cmp::Ordering::Greater => {}
        }
        self.alert_time = self.alert_time.max(other.alert_time);
        self.loose.join(&other.loose);
        self.number = self.number.take().max(other.number.clone());
        self.place = self.place.take().into_iter().chain(other.place.clone()).min();
        self.fetch_wanted_at = self.fetch_wanted_at.max(other.fetch_wanted_at);
        self.digests.join(&other.digests);
    }

    /// The revision: two for each fact and one for the asset, so that it grows with each fact even where that fact moves
    /// the alert to an agent whose asset is not known.
    pub(crate) fn rev(&self, is_linked: bool) -> i64 {
        2 * self.digests.facts + i64::from(is_linked)
    }
}

fn stamps_of(fact: &Fact, is_device: bool) -> Stamps {
    let mut stamps = Stamps::default();
    let at = Some(fact.at);
    match fact.said {
        // without an API nothing else ever shows it open again
        Said::Open if is_device => (stamps.opened_at, stamps.open_polled_at) = (at, at),
        Said::Open => stamps.opened_at = at,
        Said::PolledOpen => (stamps.opened_at, stamps.open_polled_at) = (at, at),
        Said::PolledClosed => (stamps.opened_at, stamps.absent_at) = (at, at),
        Said::Resolve => stamps.resolve_said_at = at,
        Said::Absent => stamps.absent_at = at,
    }
    stamps
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use uuid::Uuid;

    use super::*;

    fn fact(rng: &mut StdRng) -> State {
        let said =
            [Said::Open, Said::Resolve, Said::PolledOpen, Said::PolledClosed, Said::Absent][rng.random_range(0..5)];
        let time = |at_s| DateTime::from_timestamp(at_s, 0).expect("it is a time");
        let fact = Fact {
            tenant: Uuid::nil(),
            integration_id: Uuid::nil(),
            said,
            at: time(rng.random_range(0..8)),
            agent_id: ["anna", "bert"][rng.random_range(0..2)].to_owned(),
            number: Some("7".to_owned()),
            alert_time: [None, Some(time(1)), Some(time(100))][rng.random_range(0..3)],
            needs_fetch: rng.random_bool(0.2),
            details: Details {
                message: [None, Some("disk".to_owned())][rng.random_range(0..2)].clone(),
                ..Details::default()
            },
            odd: Vec::new(),
            raw: Vec::new(),
            traceparent: None,
        };
        State::of(&fact, &fact.keys(true))
    }

    fn states(rng: &mut StdRng) -> State {
        let mut all = fact(rng);
        for _ in 0..rng.random_range(0..4) {
            all.join(&fact(rng));
        }
        all
    }

    fn joined(a: &State, b: &State) -> State {
        let mut all = a.clone();
        all.join(b);
        // the order of arrival is kept, and is no part of what is known
        all.digests.known.sort_unstable();
        all
    }

    #[test]
    fn the_join_is_commutative_associative_and_idempotent() {
        let seed: u64 = rand::random();
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..2_000 {
            let (a, b, c) = (states(&mut rng), states(&mut rng), states(&mut rng));
            assert_eq!(joined(&a, &b), joined(&b, &a), "seed {seed}");
            assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)), "seed {seed}");
            assert_eq!(joined(&a, &a), joined(&a, &State::default()), "seed {seed}");
        }
    }

    #[test]
    fn the_revision_grows_with_every_fact_whatever_happens_to_the_asset() {
        let state = |facts| State { digests: Digests { facts, known: Vec::new() }, ..State::default() };
        assert!(state(4).rev(false) > state(3).rev(true));
        assert!(state(3).rev(true) > state(3).rev(false));
    }
}
