//! One batch of reports: one transaction, or several where it writes a great many programs.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::diff::{Remembered, Writes};
use super::list::{Key, List};
use super::read::{self, Known, Last};
use super::write::write;
use super::{Batch, Merged, Outcome, Report, event};
use crate::alert::Tries;
use crate::error::Attempt;
use crate::run::{self, Held, Kind, Step};
use crate::{Error, Left, Store, lock};

/// An agent that was heard of so long after its first empty list has reported again: agents report every 2,800 to 3,500 s.
pub const SECOND_REPORT_AFTER: TimeDelta = TimeDelta::hours(1);

/// Programs of the devices that one transaction writes anew, those that stand there and those that come: some 60 full
/// machines. A device with more has one for itself.
pub const PROGRAMS_WRITTEN_MAX: usize = 10_000;

/// Writes a batch, in as many transactions as its programs need; where it fails, those before stay. Idempotent: the same batch
/// again finds everything as it is.
///
/// # Errors
/// What the database said.
pub async fn merge(store: &Store, batch: &Batch) -> Result<Outcome, Error> {
    let (ends, told) = (store.work_ends(), told(batch));
    let (mut tries, mut written) = (Tries::default(), Written::default());
    loop {
        match store.within("write software", ends, merge_some(store, batch, &told, &written)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            Err(error) => return Err(error),
            Ok(Err(stopped)) => return Ok(stopped),
            Ok(Ok(more)) if more.count == told.len() => return Ok(Outcome::Merged(more.merged)),
            Ok(Ok(more)) => written = more,
        }
    }
}

/// An agent's report as it is compared.
struct Told<'a> {
    agent_id: &'a str,
    list: List,
    digest: [u8; 16],
}

/// The reports by agent: hashing them needs no lock.
fn told(batch: &Batch) -> Vec<Told<'_>> {
    let mut reports: BTreeMap<&str, &Report> = BTreeMap::new();
    for report in &batch.reports {
        reports.entry(report.agent_id.as_str()).or_insert(report);
    }
    let told = reports.into_iter().map(|(agent_id, report)| {
        let list = List::of(&report.programs);
        Told { agent_id, digest: list.digest(), list }
    });
    told.collect()
}

/// How far a batch is written.
#[derive(Clone, Default)]
struct Written {
    /// Reports.
    count: usize,
    merged: Merged,
    /// Whose they were: two agents with one asset are none, whichever comes first has it.
    assets: HashSet<Uuid>,
}

/// One transaction, from the first report that is not written.
async fn merge_some(
    store: &Store,
    batch: &Batch,
    told: &[Told<'_>],
    before: &Written,
) -> Result<Result<Written, Outcome>, Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to write software")?;
    let Some(locked) = lock::connection(&mut transaction, batch.tenant, batch.integration_id).await? else {
        return Ok(Err(Outcome::Left(Left::NoSuchConnection)));
    };
    // whoever is fenced is told so first: nothing else about the connection is its business any more
    if !run::hold_batch(&mut transaction, &batch.fence).await? {
        return Ok(Err(Outcome::Fenced));
    }
    if let Some(left) = locked.left() {
        return Ok(Err(Outcome::Left(left)));
    }
    lock::by_key(&mut transaction).await?;
    let mut written = before.clone();
    let writes = prepare(&mut transaction, batch, &told[before.count..], &mut written).await?;
    write(&mut transaction, batch, &writes).await?;
    event::write(&mut transaction, batch, &writes, locked.now).await?;
    let is_last = written.count == told.len();
    let step = step(batch, &before.merged, &written.merged, is_last);
    run::advance(&mut transaction, &batch.fence, &step, Some(batch.fetched_at)).await?;
    if let Some(cursor) = batch.cursor.as_ref().filter(|_| is_last) {
        let held = Held { integration_id: batch.integration_id, kind: Kind::Software, left: None };
        run::go_on_from(&mut transaction, &batch.fence, &held, cursor).await?;
    }
    transaction.commit().await.attempt("commit software")?;
    Ok(Ok(written))
}

/// What a transaction adds to its part. What was seen counts with the last one: a batch that is repeated counts it once.
fn step(batch: &Batch, before: &Merged, merged: &Merged, is_last: bool) -> Step {
    let written =
        Step { created: merged.first - before.first, updated: merged.changed - before.changed, ..Step::default() };
    if !is_last {
        return written;
    }
    Step {
        seen: batch.reports.len() + batch.silent,
        unchanged: merged.unchanged + merged.emptied + merged.older,
        unverifiable: batch.refused,
        ..written
    }
}

/// A list that is to be written.
struct News<'a> {
    asset_id: Uuid,
    told: &'a Told<'a>,
    last: Option<Last>,
}

impl News<'_> {
    /// Programs that stand there and that come.
    fn programs(&self) -> usize {
        let standing = self.last.as_ref().map_or(0, |last| usize::try_from(last.programs).unwrap_or_default());
        standing + self.told.list.count()
    }
}

/// What a report comes to.
enum Verdict {
    Unchanged,
    Older,
    /// Empty for the first time.
    Emptied(DateTime<Utc>),
    /// As it was, after it had come empty in between.
    Back,
    News,
}

/// Reads what stands there and decides what is to be written, up to as much as fits a transaction.
async fn prepare(
    connection: &mut PgConnection,
    batch: &Batch,
    told: &[Told<'_>],
    written: &mut Written,
) -> Result<Writes, Error> {
    let agent_ids: Vec<&str> = told.iter().map(|told| told.agent_id).collect();
    let mut known = read::known(connection, batch, &agent_ids).await?;
    let (mut writes, mut news, mut programs) = (Writes::default(), Vec::new(), 0);
    for told in told {
        let known = known.remove(told.agent_id).filter(|known| !written.assets.contains(&known.asset_id));
        let Some(Known { asset_id, last_seen_at, last }) = known else {
            written.merged.unknown += 1;
            written.count += 1;
            continue;
        };
        // where the server's clock is ahead, ours counts
        let heard_at = last_seen_at.map(|at| at.min(batch.fetched_at));
        match judge(batch.fetched_at, heard_at, told, last.as_ref()) {
            Verdict::Unchanged => written.merged.unchanged += 1,
            Verdict::Older => written.merged.older += 1,
            Verdict::Emptied(at) => {
                written.merged.emptied += 1;
                writes.emptied.push((asset_id, Some(at)));
            }
            Verdict::Back => {
                written.merged.unchanged += 1;
                writes.emptied.push((asset_id, None));
            }
            Verdict::News => {
                let one = News { asset_id, told, last };
                programs += one.programs();
                if programs > PROGRAMS_WRITTEN_MAX && !news.is_empty() {
                    break;
                }
                let counted = if one.last.is_none() { &mut written.merged.first } else { &mut written.merged.changed };
                *counted += 1;
                writes.agents.insert(asset_id, told.agent_id.to_owned());
                news.push(one);
            }
        }
        written.assets.insert(asset_id);
        written.count += 1;
    }
    compare(connection, batch, news, &mut writes).await?;
    Ok(writes)
}

/// `heard_at`: when the agent was last heard of, if ever.
fn judge(fetched_at: DateTime<Utc>, heard_at: Option<DateTime<Utc>>, told: &Told<'_>, last: Option<&Last>) -> Verdict {
    let (is_empty, digest) = (told.list.0.is_empty(), told.digest);
    match last {
        // an agent that has never found anything may have failed to look
        None if is_empty => Verdict::Unchanged,
        None => Verdict::News,
        Some(last) if last.digest == digest && last.emptied_at.is_none() => Verdict::Unchanged,
        Some(last) if last.fetched_at >= fetched_at => Verdict::Older,
        Some(last) if last.digest == digest => Verdict::Back,
        Some(last) if is_empty && last.programs > 0 => match last.emptied_at {
            None => Verdict::Emptied(fetched_at),
            Some(since) if heard_at.is_some_and(|heard| since + SECOND_REPORT_AFTER <= heard) => Verdict::News,
            Some(_) => Verdict::Unchanged,
        },
        Some(_) => Verdict::News,
    }
}

async fn compare(
    connection: &mut PgConnection,
    batch: &Batch,
    mut news: Vec<News<'_>>,
    writes: &mut Writes,
) -> Result<(), Error> {
    news.sort_unstable_by_key(|news| news.asset_id);
    let assets: Vec<Uuid> = news.iter().filter(|news| news.last.is_some()).map(|news| news.asset_id).collect();
    let old = read::versions(connection, batch.tenant, &assets).await?;
    let mut programs: BTreeMap<&Key, &str> = BTreeMap::new();
    for (key, entry) in news.iter().flat_map(|news| &news.told.list.0) {
        let name = programs.entry(key).or_insert(&entry.name);
        *name = entry.name.as_str().min(*name);
    }
    let ids: HashMap<Key, Uuid> = read::catalogue(connection, batch.tenant, &programs).await?;
    let none = BTreeMap::new();
    for News { asset_id, told, last } in news {
        let rev = last.as_ref().map_or(1, |last| last.rev + 1);
        let before = old.get(&asset_id).unwrap_or(&none);
        writes.add(asset_id, before, &told.list, &ids, rev, last.is_none());
        let programs = i32::try_from(told.list.count()).unwrap_or(i32::MAX);
        writes.reports.push(Remembered { asset_id, digest: told.digest, programs, rev });
    }
    Ok(())
}
