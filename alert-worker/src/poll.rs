//! One reconciliation: Tactical's open alerts are read, what is new becomes facts, and what is absent is judged.
//!
//! Opens are written while they are read, since each is true by itself. An absence means something only once all lists were
//! read to their end: an answer that is empty, cut, a page, or shorter than it should be resolves nothing. What still is to be
//! resolved is asked for by its number first, all of it or a sample, so that a list that lies is found out. The look back at
//! what opened and closed unseen is a part of its own, which comes last: it may fail without undoing the rest.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use connection::failure::Error;
use connection::identity::Listed;
use connection::{Open, server};
use store::Store;
use store::alert::{self, Fact, Found, LastPoll, OpenAlert, Refused, Said, Under, Written};
use store::run::{Part, Step};
use tactical::{AlertFilter, Organization};
use tokio::time::Instant;

use crate::absence::{self, Absent};
use crate::ask::{self, ASKING_MAX, GONE_MAX, STRAYS_MAX};
use crate::place::{self, Places};
use crate::polled::{self, Asked};

/// Alerts of one transaction (pipeline §10: 500 to 2,000 rows).
const BATCH_ALERTS_MAX: usize = 500;
/// A poll that asked so long ago leaves a gap in which alerts may have opened and closed: three of the usual intervals.
const GAP: TimeDelta = TimeDelta::minutes(15);
/// The gap is looked at so far back.
const BACKFILL_DAYS: u32 = 1;

/// Why a part goes no further.
pub(crate) enum Stop {
    /// Somebody else has the run: nothing more may be written.
    Fenced,
    /// For this reason.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Goes on where what was to be written is written.
fn unless(refused: Option<Refused>) -> Result<(), Stop> {
    match refused {
        None => Ok(()),
        Some(Refused::Fenced) => Err(Stop::Fenced),
        Some(Refused::Left(left)) => Err(server::left(left).into()),
    }
}

/// A reconciliation in hand.
pub(crate) struct Poll<'a> {
    pub(crate) store: &'a Store,
    pub(crate) open: &'a Open,
    pub(crate) part: &'a Part,
    /// Where the list's facts come from: `at` is the clock before the request.
    pub(crate) asked: Asked,
}

/// What a list showed.
#[derive(Default)]
struct Seen {
    open: HashSet<i64>,
    undelivered: usize,
    undelivered_at: Option<DateTime<Utc>>,
}

impl Poll<'_> {
    /// Reads what is open, and ends what is not any more.
    pub(crate) async fn run(mut self) -> Result<(), Stop> {
        let (tenant, integration_id) = (self.asked.tenant, self.asked.integration_id);
        let last = alert::last_poll(self.store, tenant, integration_id).await?;
        let shown = server::clients(self.store, self.open).await?;
        let places = Places::of(&shown);
        self.asked.at = self.store.database_now().await?;
        let only_open = AlertFilter { resolved_filter: Some(false), ..AlertFilter::default() };
        let seen = self.read(&only_open, &places, true).await?;
        let agents = server::agents(self.open).await?;
        unless(alert::note_agents(self.store, &self.under(Step::default()), agents.len()).await?)?;
        believe(&agents, &shown, &last)?;
        let unverifiable = self.close(&seen, &agents, &places).await?;
        let found = Found {
            polled_at: self.asked.at,
            undelivered: seen.undelivered,
            undelivered_at: seen.undelivered_at,
            is_gap: is_gap(&last, self.asked.at, seen.undelivered_at),
        };
        let step = Step { unverifiable, ..Step::default() };
        unless(alert::end_poll(self.store, &self.under(step), &found).await?)
    }

    /// Reads the alerts of the last day, where a poll has noticed that some may have opened and closed unseen.
    pub(crate) async fn backfill(mut self) -> Result<(), Stop> {
        let last = alert::last_poll(self.store, self.asked.tenant, self.asked.integration_id).await?;
        let Some(wanted_at) = last.backfill_wanted_at else { return Ok(()) };
        let places = Places::of(&server::clients(self.store, self.open).await?);
        self.asked.at = self.store.database_now().await?;
        let recent = AlertFilter { time_filter: Some(BACKFILL_DAYS), ..AlertFilter::default() };
        let seen = self.read(&recent, &places, false).await?;
        let under = self.under(Step::default());
        unless(alert::end_backfill(self.store, &under, wanted_at, seen.undelivered_at).await?)
    }

    /// What the facts were read under.
    fn under(&self, step: Step) -> Under<'_> {
        let (tenant, integration_id) = (self.asked.tenant, self.asked.integration_id);
        Under::Part { tenant, integration_id, fence: &self.part.fence, step }
    }

    /// Reads a list and writes what is new in it. `is_counted`: its rows count as seen.
    async fn read(&self, filter: &AlertFilter, places: &Places, is_counted: bool) -> Result<Seen, Stop> {
        let mut rows = self.open.call(async |client| client.alerts(filter).await).await?;
        let (mut seen, mut batch) = (Seen::default(), Vec::new());
        while let Some(row) = rows.next().await {
            let row = row?;
            let undelivered_at = polled::undelivered_at(&row);
            seen.undelivered_at = seen.undelivered_at.max(undelivered_at);
            if row.resolved != Some(true) {
                seen.open.insert(row.id);
                seen.undelivered += usize::from(undelivered_at.is_some());
            }
            batch.push(polled::fact(row, &self.asked, places));
            if batch.len() == BATCH_ALERTS_MAX {
                self.write(std::mem::take(&mut batch), is_counted).await?;
            }
        }
        self.write(batch, is_counted).await?;
        Ok(seen)
    }

    /// Writes what is new.
    async fn write(&self, facts: Vec<Fact>, is_counted: bool) -> Result<(), Stop> {
        let read = facts.len();
        let news = alert::news(self.store, facts).await?;
        let created = news.iter().filter(|polled| polled.is_new).count();
        let mut step = Step { created, updated: news.len() - created, ..Step::default() };
        if is_counted {
            (step.seen, step.unchanged) = (read, read - news.len());
        }
        let facts: Vec<Fact> = news.into_iter().map(|polled| polled.fact).collect();
        self.observe(step, &facts).await
    }

    async fn observe(&self, step: Step, facts: &[Fact]) -> Result<(), Stop> {
        match alert::observe_under(self.store, &self.under(step), facts).await? {
            Written::Observed(_) => Ok(()),
            Written::Refused(refused) => unless(Some(refused)),
        }
    }

    /// Resolves what is over; how many alerts nobody can tell anything of.
    async fn close(&self, seen: &Seen, agents: &Listed, places: &Places) -> Result<usize, Stop> {
        let mut absent = self.absent(seen, agents, places).await?;
        absent.shuffle(self.part.fence.run.run_id.as_bytes());
        let ends = Instant::now() + ASKING_MAX;
        let mut unverifiable = absent.nameless;
        unverifiable += ask::doubt(self.open, &mut absent.over, seen.open.len(), ends).await?;
        self.resolve(&absent.over).await?;
        for (alerts, asked_max) in [(&mut absent.gone, GONE_MAX), (&mut absent.strays, STRAYS_MAX)] {
            unverifiable += ask::keep_over(self.open, alerts, asked_max, ends).await;
            self.resolve(alerts).await?;
        }
        Ok(unverifiable)
    }

    /// What is open here and was not listed, sorted by what that means.
    async fn absent(&self, seen: &Seen, agents: &Listed, places: &Places) -> Result<Absent, Stop> {
        let (tenant, integration_id) = (self.asked.tenant, self.asked.integration_id);
        let mut absent = Absent::default();
        let sort = |alert: OpenAlert| {
            if !absence::number(&alert).is_some_and(|number| seen.open.contains(&number)) {
                absent.add(alert, agents, places);
            }
        };
        alert::each_open_before(self.store, tenant, integration_id, self.asked.at, sort).await?;
        Ok(absent)
    }

    async fn resolve(&self, over: &[OpenAlert]) -> Result<(), Stop> {
        for batch in over.chunks(BATCH_ALERTS_MAX) {
            let facts: Vec<Fact> = batch.iter().map(|alert| self.over(alert)).collect();
            self.observe(Step { missing: facts.len(), ..Step::default() }, &facts).await?;
        }
        Ok(())
    }

    /// That an alert is over, as of the list's beginning. Of a later incarnation it says nothing.
    fn over(&self, alert: &OpenAlert) -> Fact {
        Fact {
            agent_id: alert.agent_id.clone().unwrap_or_default(),
            number: Some(alert.external_alert_id.clone()),
            alert_time: alert.alert_time,
            ..polled::bare(Said::Absent, &self.asked)
        }
    }
}

/// Alerts may have opened and closed since the last poll without a webhook: it was long ago, or a webhook was lost since.
fn is_gap(last: &LastPoll, asked_at: DateTime<Utc>, undelivered_at: Option<DateTime<Utc>>) -> bool {
    // a connection that was never polled has missed nothing
    let Some(polled_at) = last.polled_at else { return false };
    // both are of Tactical's clock
    undelivered_at > last.undelivered_at || asked_at - polled_at > GAP
}

/// Whether the list of agents can be the whole of what the key sees: as many as its clients are said to have, and as many as
/// the poll before was shown. A role that was narrowed is believed by the second poll that says so.
fn believe(agents: &Listed, shown: &[Organization], last: &LastPoll) -> Result<(), Error> {
    let before = last.agents_listed.and_then(|count| usize::try_from(count).ok());
    let doubt = |expected: usize, why: &str| {
        let listed = agents.len();
        Err(Error::Doubtful(format!("Tactical lists {listed} devices where {why} {expected}: no alert was resolved")))
    };
    match (place::agents_expected(shown), before) {
        (Some(expected), _) if server::is_narrow(agents.len(), expected) => doubt(expected, "its clients have"),
        (_, Some(before)) if server::is_narrow(agents.len(), before) => doubt(before, "the poll before saw"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_poll_long_ago_or_a_webhook_that_was_lost_since() {
        let time = |at_s| DateTime::from_timestamp(at_s, 0);
        let gap_s = GAP.num_seconds();
        // the last poll, and when a webhook was last lost before it; the poll, and when one was last lost now
        let table = [
            (None, None, 0, Some(5), false, "never polled"),
            (Some(0), None, gap_s, None, false, "at the edge"),
            (Some(0), None, gap_s + 1, None, true, "one second over it"),
            (Some(0), None, 60, Some(30), true, "the first that was lost"),
            (Some(0), Some(30), 60, Some(30), false, "the same as before"),
            (Some(0), Some(30), 60, Some(31), true, "another one, even where the first is over"),
            (Some(0), Some(30), 60, None, false, "the lost one is over"),
        ];
        for (polled_s, lost_before_s, now_s, lost_s, expected, name) in table {
            let last = LastPoll {
                polled_at: polled_s.and_then(time),
                undelivered_at: lost_before_s.and_then(time),
                ..LastPoll::default()
            };
            let now = time(now_s).expect("it is a time");
            assert_eq!(is_gap(&last, now, lost_s.and_then(time)), expected, "{name}");
        }
    }
}
