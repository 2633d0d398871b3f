//! One batch of reports: one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::diff::{Remembered, Writes};
use super::list::{Key, List};
use super::read::{self, Known, Last};
use super::write::write;
use super::{Batch, Merged, Outcome, event};
use crate::alert::Tries;
use crate::error::Attempt;
use crate::run::{self, Held, Kind, Step};
use crate::{Error, Left, Store, lock};

/// An agent that was heard of so long after its first empty list has reported again: agents report every 2,800 to 3,500 s.
pub const SECOND_REPORT_AFTER: TimeDelta = TimeDelta::hours(1);

/// Writes a batch: all of it, or nothing when it fails. Idempotent: the same batch again finds everything as it is.
///
/// # Errors
/// What the database said.
pub async fn merge(store: &Store, batch: &Batch) -> Result<Outcome, Error> {
    let ends = store.work_ends();
    let mut tries = Tries::default();
    loop {
        match store.within("write software", ends, merge_once(store, batch)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => return done,
        }
    }
}

async fn merge_once(store: &Store, batch: &Batch) -> Result<Outcome, Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to write software")?;
    let Some(locked) = lock::connection(&mut transaction, batch.tenant, batch.integration_id).await? else {
        return Ok(Outcome::Left(Left::NoSuchConnection));
    };
    // whoever is fenced is told so first: nothing else about the connection is its business any more
    if !run::hold_batch(&mut transaction, &batch.fence).await? {
        return Ok(Outcome::Fenced);
    }
    if let Some(left) = locked.left() {
        return Ok(Outcome::Left(left));
    }
    lock::by_key(&mut transaction).await?;
    let (merged, writes) = prepare(&mut transaction, batch).await?;
    write(&mut transaction, batch, &writes).await?;
    event::write(&mut transaction, batch, &writes, locked.now).await?;
    run::advance(&mut transaction, &batch.fence, &step(batch, &merged), Some(batch.fetched_at)).await?;
    if let Some(cursor) = &batch.cursor {
        let held = Held { integration_id: batch.integration_id, kind: Kind::Software, left: None };
        run::go_on_from(&mut transaction, &batch.fence, &held, cursor).await?;
    }
    transaction.commit().await.attempt("commit software")?;
    Ok(Outcome::Merged(merged))
}

fn step(batch: &Batch, merged: &Merged) -> Step {
    Step {
        seen: batch.reports.len() + batch.silent,
        created: merged.first,
        updated: merged.changed,
        unchanged: merged.unchanged + merged.emptied + merged.older,
        unverifiable: batch.refused,
        ..Step::default()
    }
}

/// A list that is to be written.
struct News {
    asset_id: Uuid,
    list: List,
    digest: [u8; 16],
    last: Option<Last>,
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

/// Reads what stands there and decides what is to be written.
async fn prepare(connection: &mut PgConnection, batch: &Batch) -> Result<(Merged, Writes), Error> {
    let mut reports: BTreeMap<&str, List> = BTreeMap::new();
    for report in &batch.reports {
        reports.entry(report.agent_id.as_str()).or_insert_with(|| List::of(&report.programs));
    }
    let agent_ids: Vec<&str> = reports.keys().copied().collect();
    let mut known = read::known(connection, batch, &agent_ids).await?;
    let (mut merged, mut writes, mut news) = (Merged::default(), Writes::default(), Vec::new());
    let mut seen = HashSet::new();
    for (agent_id, list) in reports {
        // two agents with one asset are none: whichever comes first has it
        let Some(Known { asset_id, last_seen_at, last }) = known.remove(agent_id).filter(|known| seen.insert(known.asset_id)) else {
            merged.unknown += 1;
            continue;
        };
        let digest = list.digest();
        // where the server's clock is ahead, ours counts
        let heard_at = last_seen_at.map(|at| at.min(batch.fetched_at));
        match judge(batch.fetched_at, heard_at, &list, digest, last.as_ref()) {
            Verdict::Unchanged => merged.unchanged += 1,
            Verdict::Older => merged.older += 1,
            Verdict::Emptied(at) => {
                merged.emptied += 1;
                writes.emptied.push((asset_id, Some(at)));
            }
            Verdict::Back => {
                merged.unchanged += 1;
                writes.emptied.push((asset_id, None));
            }
            Verdict::News => {
                writes.agents.insert(asset_id, agent_id.to_owned());
                news.push(News { asset_id, list, digest, last });
            }
        }
    }
    merged.first = news.iter().filter(|news| news.last.is_none()).count();
    merged.changed = news.len() - merged.first;
    compare(connection, batch, news, &mut writes).await?;
    Ok((merged, writes))
}

/// `heard_at`: when the agent was last heard of, if ever.
fn judge(
    fetched_at: DateTime<Utc>,
    heard_at: Option<DateTime<Utc>>,
    list: &List,
    digest: [u8; 16],
    last: Option<&Last>,
) -> Verdict {
    let is_empty = list.0.is_empty();
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
    mut news: Vec<News>,
    writes: &mut Writes,
) -> Result<(), Error> {
    news.sort_unstable_by_key(|news| news.asset_id);
    let assets: Vec<Uuid> = news.iter().filter(|news| news.last.is_some()).map(|news| news.asset_id).collect();
    let old = read::versions(connection, batch.tenant, &assets).await?;
    let mut programs: BTreeMap<&Key, &str> = BTreeMap::new();
    for (key, entry) in news.iter().flat_map(|news| &news.list.0) {
        let name = programs.entry(key).or_insert(&entry.name);
        *name = entry.name.as_str().min(*name);
    }
    let ids: HashMap<Key, Uuid> = read::catalogue(connection, batch.tenant, &programs).await?;
    let none = BTreeMap::new();
    for News { asset_id, list, digest, last } in news {
        let rev = last.as_ref().map_or(1, |last| last.rev + 1);
        let before = old.get(&asset_id).unwrap_or(&none);
        writes.add(asset_id, before, &list, &ids, rev, last.is_none());
        let programs = i32::try_from(list.count()).unwrap_or(i32::MAX);
        writes.reports.push(Remembered { asset_id, digest, programs, rev });
    }
    Ok(())
}
