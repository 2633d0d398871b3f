//! One look at what is due: schedules are moved on, and their runs begin.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::attention::seconds;
use super::{PROBE_EVERY, kind};
use crate::error::Attempt;
use crate::run::{self, Ask, Kind, Open};
use crate::{Error, Store};

/// Schedules that one transaction takes at most, unless its caller says fewer: it holds the locks of their connections, and a
/// batch of a sync may wait two seconds for one.
pub const ROWS_MAX: u32 = 500;
/// A wish for a look at the alerts is heard this long after the look before at the earliest: a template that sends nothing
/// but broken webhooks must not have Tactical polled without a pause.
pub const WISH_AFTER: Duration = Duration::from_secs(60);
/// A schedule that has never had anything to run looks again after so long at the latest, so that the first software is
/// read soon after the first devices.
const FIRST_WITHIN: Duration = Duration::from_secs(60 * 60);
/// A run that makes no progress is sent again by the first tick after [`run::RESEND_AFTER`], then after twice that, and so
/// on up to this: where the workers are away for days, a few copies wait for them and not hundreds.
const RESEND_AFTER_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// Who has asked for a run that a tick has begun.
const REQUESTED_BY: &str = "schedule";

/// What became of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its run has begun.
    Started,
    /// A run of the kind is open: there is no second one.
    Open,
    /// A run of the kind is open and makes no progress: its message was sent again.
    Resent,
    /// Somebody has started a run since the slot.
    Superseded,
    /// There is nothing to run: the word says why (`inactive`, `suspended`, `incomplete`, `held`, `no_devices`).
    Left,
}

impl Outcome {
    /// The word that stands in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Open => "open",
            Self::Resent => "resent",
            Self::Superseded => "superseded",
            Self::Left => "left",
        }
    }
}

/// A slot that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Whose.
    pub tenant: Uuid,
    /// Which connection's.
    pub integration_id: Uuid,
    /// Of what.
    pub kind: Kind,
    /// The moment that it is for.
    pub slot: DateTime<Utc>,
    /// How long after it was due it was taken, on the database's clock.
    pub late: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// Takes the schedules that are due, at most `rows_max`, the longest due first: each moves to its next slot, and the run of
/// the slot begins in the same transaction. Those that somebody else holds are left to the next call. As many as `rows_max`
/// came: more may be due.
///
/// # Errors
/// What the database said; then nothing was taken.
pub async fn tick(store: &Store, rows_max: u32) -> Result<Vec<Tick>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to take due schedules")?;
        hear_wishes(&mut transaction, rows_max).await?;
        let due = take(&mut transaction, rows_max).await?;
        if due.is_empty() {
            transaction.rollback().await.attempt("end a look at the schedules")?;
            return Ok(Vec::new());
        }
        let judged = advance(&mut transaction, &due).await?;
        let asks: Vec<Ask> = judged.iter().filter(|(tick, _)| tick.outcome == Outcome::Started).map(ask).collect();
        run::begin_all(&mut transaction, &asks, REQUESTED_BY).await?;
        for (tick, open) in &judged {
            if let (Outcome::Resent, Some(open)) = (tick.outcome, open) {
                run::send_again(&mut transaction, tick.tenant, tick.integration_id, tick.kind, open).await?;
            }
        }
        transaction.commit().await.attempt("commit what is due")?;
        Ok(judged.into_iter().map(|(tick, _)| tick).collect())
    };
    store.within("take due schedules", store.work_ends(), work).await
}

/// Lets schedules go on by the clock that the database has now, where it was set back: their next slots would lie as far ahead
/// as it was set back. How many; as many as [`ROWS_MAX`]: there may be more.
///
/// # Errors
/// What the database said.
pub async fn follow_clock(store: &Store) -> Result<u64, Error> {
    let moved = sqlx::query_file!("sql/schedule/follow_clock.sql", seconds(PROBE_EVERY), i64::from(ROWS_MAX));
    let moved = store.run("look whether the database's clock was set back", moved.execute(store.pool())).await?;
    Ok(moved.rows_affected())
}

fn ask((tick, _): &(Tick, Option<Open>)) -> Ask {
    Ask { tenant: tick.tenant, integration_id: tick.integration_id, kind: tick.kind, slot: Some(tick.slot) }
}

async fn hear_wishes(connection: &mut PgConnection, rows_max: u32) -> Result<(), Error> {
    sqlx::query_file!("sql/schedule/hint.sql", WISH_AFTER.as_secs_f64(), i64::from(rows_max))
        .execute(connection)
        .await
        .attempt("hear the wishes for a look at the alerts")
        .map(drop)
}

/// The keys of what is due, locked.
#[derive(Default)]
struct Due {
    tenants: Vec<Uuid>,
    integrations: Vec<Uuid>,
    kinds: Vec<String>,
}

impl Due {
    fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

async fn take(connection: &mut PgConnection, rows_max: u32) -> Result<Due, Error> {
    let known: Vec<String> = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    let rows = sqlx::query_file!("sql/schedule/take.sql", i64::from(rows_max), &known);
    let rows = rows.fetch_all(connection).await.attempt("lock the schedules that are due")?;
    let mut due = Due::default();
    for row in rows {
        due.tenants.push(row.tenant);
        due.integrations.push(row.integration_id);
        due.kinds.push(row.kind);
    }
    Ok(due)
}

async fn advance(connection: &mut PgConnection, due: &Due) -> Result<Vec<(Tick, Option<Open>)>, Error> {
    let (probe_s, first_s) = (seconds(PROBE_EVERY), seconds(FIRST_WITHIN));
    let rows =
        sqlx::query_file!("sql/schedule/advance.sql", &due.tenants, &due.integrations, &due.kinds, probe_s, first_s);
    let rows = rows.fetch_all(connection).await.attempt("move the schedules that are due")?;
    let judged = rows.into_iter().filter_map(|row| {
        let open = row.open_run_id.zip(row.open_moved_at).map(|(run_id, moved_at)| Open { run_id, moved_at });
        let requested_at = row.open_requested_at.unwrap_or(row.now);
        let outcome = match &open {
            _ if row.left_because.is_some() => Outcome::Left,
            Some(open) if is_stuck(requested_at, open.moved_at, row.now) => Outcome::Resent,
            Some(_) => Outcome::Open,
            None if row.is_superseded => Outcome::Superseded,
            None => Outcome::Started,
        };
        let tick = Tick {
            tenant: row.tenant,
            integration_id: row.integration_id,
            kind: kind(&row.kind)?,
            slot: row.slot,
            late: Duration::try_from_secs_f64(row.late_s).unwrap_or_default(),
            outcome,
        };
        Some((tick, open))
    });
    Ok(judged.collect())
}

/// Whether an open run is to be sent again: it has not moved for as long as it had lived before, within both limits.
fn is_stuck(requested_at: DateTime<Utc>, moved_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let (least, most) = (delta(run::RESEND_AFTER), delta(RESEND_AFTER_MAX));
    now - moved_at > (moved_at - requested_at).clamp(least, most)
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("some hours fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_progress_is_sent_again_ever_more_seldom() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        for (moved, now, is_stuck) in [
            (0, 15, false),
            (0, 16, true),
            // sent again after a quarter of an hour: the next one comes as much later
            (16, 32, false),
            (16, 33, true),
            (33, 66, false),
            (33, 67, true),
            (360, 720, false),
            (360, 721, true),
            // the longest wait
            (1_000, 1_360, false),
            (1_000, 1_361, true),
        ] {
            assert_eq!(super::is_stuck(at(0), at(moved), at(now)), is_stuck, "moved at {moved}, now {now} minutes");
        }
    }
}
