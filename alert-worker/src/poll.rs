//! One reconciliation: Tactical's open alerts are read, what is new becomes facts, and what is absent is judged.
//!
//! Opens are written while they are read, since each is true by itself. An absence means something only once all lists were
//! read to their end: an answer that is empty, cut, a page, or shorter than it should be resolves nothing. What still is to be
//! resolved is asked for by its number first, all of it or a sample, so that a list that lies is found out.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use connection::failure::Error;
use connection::identity::Listed;
use connection::{Open, server};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::Store;
use store::alert::{self, Fact, LastPoll, OpenAlert, Said};
use store::run::{self, Part, Step};
use tactical::{AlertFilter, Organization};

use crate::absence::{self, Verdict};
use crate::place::{self, Places};
use crate::polled::{self, Asked};

/// Alerts of one transaction (pipeline §10: 500 to 2,000 rows).
const BATCH_ALERTS_MAX: usize = 500;
/// A poll that asked so long ago leaves a gap in which alerts may have opened and closed: three of the usual intervals.
const GAP: TimeDelta = TimeDelta::minutes(15);
/// The gap is looked at so far back.
const BACKFILL_DAYS: u32 = 1;
/// Of the absent alerts so many are asked for one by one; they stand for all.
const SAMPLE_MAX: usize = 20;
/// Of the alerts whose agent is gone so many are asked for in one run; the others wait for the next.
const GONE_MAX: usize = 50;
/// Requests at once, as the gate has it.
const LOOKS_AT_ONCE: usize = 2;

/// How it ended.
pub(crate) enum Ended {
    /// Everything is written.
    All,
    /// Somebody else has the run: nothing more may be written.
    Fenced,
}

/// A reconciliation in hand.
pub(crate) struct Poll<'a> {
    pub(crate) store: &'a Store,
    pub(crate) open: &'a Open,
    pub(crate) part: &'a Part,
    /// Where the open list's facts come from: `at` is the clock before the request.
    pub(crate) asked: Asked,
}

/// What the open list showed.
#[derive(Default)]
struct Seen {
    open: HashSet<i64>,
    undelivered: usize,
    undelivered_at: Option<DateTime<Utc>>,
}

/// What an alert turns out to be when it is asked for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Over,
    Open,
    Hidden,
}

impl Poll<'_> {
    /// Reads and writes all of it.
    pub(crate) async fn run(mut self) -> Result<Ended, Error> {
        let (tenant, integration_id) = (self.asked.tenant, self.asked.integration_id);
        alert::begin_poll(self.store, tenant, integration_id).await?;
        let last = alert::last_poll(self.store, tenant, integration_id).await?;
        let shown = server::clients(self.store, self.open).await?;
        let places = Places::of(&shown);
        self.asked.at = self.store.database_now().await?;
        let only_open = AlertFilter { resolved_filter: Some(false), ..AlertFilter::default() };
        let Some(seen) = self.read(&only_open, &self.asked, &places, true).await? else { return Ok(Ended::Fenced) };
        if self.is_gap(&last, &seen) {
            let recent = AlertFilter { time_filter: Some(BACKFILL_DAYS), ..AlertFilter::default() };
            let asked = Asked { at: self.store.database_now().await?, ..self.asked.clone() };
            if self.read(&recent, &asked, &places, false).await?.is_none() {
                return Ok(Ended::Fenced);
            }
        }
        let agents = server::agents(self.open).await?;
        alert::note_agents(self.store, tenant, integration_id, agents.len()).await?;
        believe(&agents, &shown, &last)?;
        let Some(unverifiable) = self.close(&seen, &agents, &places).await? else { return Ok(Ended::Fenced) };
        let undelivered = (seen.undelivered, seen.undelivered_at);
        alert::end_poll(self.store, tenant, integration_id, self.asked.at, undelivered, unverifiable).await?;
        Ok(Ended::All)
    }

    /// Alerts may have opened and closed since the last poll without a webhook: it was long ago, or webhooks get lost.
    fn is_gap(&self, last: &LastPoll, seen: &Seen) -> bool {
        // a connection that was never polled has missed nothing
        let Some(polled_at) = last.polled_at else { return false };
        let lost_more = i32::try_from(seen.undelivered).unwrap_or(i32::MAX) > last.undelivered;
        lost_more || self.asked.at - polled_at > GAP
    }

    /// Reads a list and writes what is new in it; `None`: fenced. `is_counted`: its rows count as seen.
    async fn read(
        &self,
        filter: &AlertFilter,
        asked: &Asked,
        places: &Places,
        is_counted: bool,
    ) -> Result<Option<Seen>, Error> {
        let mut rows = self.open.call(async |client| client.alerts(filter).await).await?;
        let (mut seen, mut batch) = (Seen::default(), Vec::new());
        while let Some(row) = rows.next().await {
            let row = row?;
            if row.resolved != Some(true) {
                seen.open.insert(row.id);
                if let Some(at) = polled::undelivered_at(&row) {
                    seen.undelivered += 1;
                    seen.undelivered_at = seen.undelivered_at.max(Some(at));
                }
            }
            batch.push(polled::fact(row, asked, places));
            if batch.len() == BATCH_ALERTS_MAX && !self.write(std::mem::take(&mut batch), is_counted).await? {
                return Ok(None);
            }
        }
        Ok(self.write(batch, is_counted).await?.then_some(seen))
    }

    /// Writes what is new; `false`: fenced.
    async fn write(&self, facts: Vec<Fact>, is_counted: bool) -> Result<bool, Error> {
        let read = facts.len();
        let news = alert::news(self.store, facts).await?;
        let created = news.iter().filter(|polled| polled.is_new).count();
        let mut step = Step { created, updated: news.len() - created, ..Step::default() };
        if is_counted {
            (step.seen, step.unchanged) = (read, read - news.len());
        }
        let facts: Vec<Fact> = news.into_iter().map(|polled| polled.fact).collect();
        alert::observe(self.store, &facts).await?;
        Ok(run::count(self.store, &self.part.fence, &step).await?)
    }

    /// Resolves what is over; how many alerts nobody can tell anything of. `None`: fenced.
    async fn close(&self, seen: &Seen, agents: &Listed, places: &Places) -> Result<Option<usize>, Error> {
        let (tenant, integration_id) = (self.asked.tenant, self.asked.integration_id);
        let known = alert::open_before(self.store, tenant, integration_id, self.asked.at).await?;
        let (mut over, mut gone, mut unverifiable) = (Vec::new(), Vec::new(), 0);
        for alert in known {
            if absence::number(&alert).is_some_and(|number| seen.open.contains(&number)) {
                continue;
            }
            match absence::verdict(&alert, agents, places) {
                Verdict::Over => over.push(alert),
                Verdict::AgentGone => gone.push(alert),
                Verdict::Unverifiable => unverifiable += 1,
            }
        }
        let run = self.part.fence.run.run_id;
        absence::shuffle(&mut over, run.as_bytes());
        absence::shuffle(&mut gone, run.as_bytes());
        unverifiable += self.doubt(&mut over, seen).await?;
        unverifiable += self.ask_for(&mut gone).await?;
        over.append(&mut gone);
        for batch in over.chunks(BATCH_ALERTS_MAX) {
            let facts: Vec<Fact> = batch.iter().map(|alert| self.absent(alert)).collect();
            alert::observe(self.store, &facts).await?;
            let step = Step { missing: facts.len(), ..Step::default() };
            if !run::count(self.store, &self.part.fence, &step).await? {
                return Ok(None);
            }
        }
        let step = Step { unverifiable, ..Step::default() };
        Ok(run::count(self.store, &self.part.fence, &step).await?.then_some(unverifiable))
    }

    /// Asks for a sample of what the list says is over; how many of it the key does not see after all, which then are left.
    async fn doubt(&self, over: &mut Vec<OpenAlert>, seen: &Seen) -> Result<usize, Error> {
        let sample = &over[..over.len().min(SAMPLE_MAX)];
        let looks = self.look(sample).await?;
        if let Some(place) = looks.iter().position(|look| *look == Look::Open) {
            let (number, listed, absent) = (&sample[place].external_alert_id, seen.open.len(), over.len());
            return Err(Error::Doubtful(format!(
                "Tactical lists {listed} open alerts and not the {absent} others that were open, but shows alert {number} of \
                 these as open when asked for it alone: no alert was resolved by this list"
            )));
        }
        Ok(keep_over(over, &looks, |_| true))
    }

    /// Asks for alerts whose agents are gone; how many of them are not known to be over, which then are left.
    async fn ask_for(&self, gone: &mut Vec<OpenAlert>) -> Result<usize, Error> {
        let looks = self.look(&gone[..gone.len().min(GONE_MAX)]).await?;
        Ok(keep_over(gone, &looks, |_| false))
    }

    async fn look(&self, alerts: &[OpenAlert]) -> Result<Vec<Look>, Error> {
        let numbers: Vec<i64> = alerts.iter().filter_map(absence::number).collect();
        stream::iter(numbers).map(|number| look(self.open, number)).buffered(LOOKS_AT_ONCE).try_collect().await
    }

    /// That an alert is over, as of the list's beginning. Of a later incarnation it says nothing.
    fn absent(&self, alert: &OpenAlert) -> Fact {
        Fact {
            agent_id: alert.agent_id.clone().unwrap_or_default(),
            number: Some(alert.external_alert_id.clone()),
            alert_time: alert.alert_time,
            ..polled::bare(Said::Absent, &self.asked)
        }
    }
}

/// Keeps what was found to be over, and of those that were not asked for what `unasked` says; how many are left out.
fn keep_over(alerts: &mut Vec<OpenAlert>, looks: &[Look], unasked: impl Fn(&OpenAlert) -> bool) -> usize {
    let before = alerts.len();
    let mut looks = looks.iter();
    alerts.retain(|alert| looks.next().map_or_else(|| unasked(alert), |look| *look == Look::Over));
    before - alerts.len()
}

async fn look(open: &Open, number: i64) -> Result<Look, Error> {
    match open.call(async |client| client.alert(number).await).await {
        Ok(alert) if alert.resolved == Some(true) => Ok(Look::Over),
        Ok(_) => Ok(Look::Open),
        // deleted, with its agent, or pruned; the page of a proxy says nothing of the kind
        Err(connection::Error::Tactical(error)) if error.is_no_such_object() => Ok(Look::Over),
        Err(connection::Error::Tactical(tactical::Error::Forbidden { .. })) => Ok(Look::Hidden),
        Err(error) => Err(error.into()),
    }
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
