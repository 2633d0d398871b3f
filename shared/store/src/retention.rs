//! Retention: what has ended is kept for a time, and then goes in small batches.
//!
//! Any number of processes may do this at once. A round is begun by one of them ([`begin_round`]); two that overlap
//! skip each other's rows, and no batch holds a lock that a job waits for longer than its own few milliseconds. Ages
//! are counted on the database's clock. AlgaPSA's rows are never touched.
//!
//! **What a later message still needs stays.** A resolved alert is *retired*: its details and digests, which are most
//! of its bytes, go; its names, its stamps, its place among the openings and its rev stay as long as its visible row
//! does, because `rmm_alerts` keeps a row for ever and a late copy of a webhook must meet that row, change nothing in
//! it, and use no rev a second time. Once somebody has deleted the visible row, all of it goes. Runs that are open, and
//! the last ended one of each kind of a connection, stay. A message that waits in the outbox was never published: it is
//! not deleted but parked, where a person can see it for as long as parked messages are kept.

use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::parked::{self, Parked, ParkedState};
use crate::{Error, Store};

/// Rows of one transaction at most: a few milliseconds of locks and WAL.
pub const BATCH_ROWS_MAX: usize = 1_000;

/// How long each is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ages {
    /// What an alert's details and digests are kept for after its end, and the bytes of odd webhooks after they came.
    pub alerts: Duration,
    /// Runs and their parts, after their end.
    pub runs: Duration,
    /// Of those the ones that a schedule began and that are complete.
    pub scheduled_runs: Duration,
    /// Parked messages, after they were parked.
    pub parked: Duration,
    /// Messages that nobody published, after they were due; then they are parked.
    pub outbox: Duration,
    /// The audit, and who paused what, after the end of the pause.
    pub audit: Duration,
    /// What changed in the software of devices; what is installed stays.
    pub software: Duration,
    /// Tokens of the console's API, after they were revoked or expired.
    pub tokens: Duration,
}

impl Ages {
    fn of(&self, what: Sweep) -> Duration {
        match what {
            Sweep::RetiredAlerts | Sweep::StrayAlerts | Sweep::RawWebhooks => self.alerts,
            Sweep::ScheduledRuns => self.scheduled_runs,
            Sweep::Runs => self.runs,
            Sweep::Parked => self.parked,
            Sweep::OutboxLeftovers => self.outbox,
            Sweep::Audit | Sweep::Pauses => self.audit,
            Sweep::Tokens => self.tokens,
            Sweep::SoftwareChanges => self.software,
            // it opens nothing any more
            Sweep::ReplacedSecrets => Duration::ZERO,
        }
    }
}

/// What is let go, in the order of a round: what stands below others goes before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Details and digests of alerts that have ended.
    RetiredAlerts,
    /// Alerts whose visible row is gone, with their names.
    StrayAlerts,
    /// Bytes of odd webhooks.
    RawWebhooks,
    /// Complete runs that a schedule began, with their parts.
    ScheduledRuns,
    /// Ended runs, with their parts.
    Runs,
    /// Parked messages.
    Parked,
    /// Messages that nobody published.
    OutboxLeftovers,
    /// The audit.
    Audit,
    /// Pauses that have ended.
    Pauses,
    /// Tokens of the console's API.
    Tokens,
    /// Digests of secrets that were replaced and are no longer good.
    ReplacedSecrets,
    /// History of software.
    SoftwareChanges,
}

impl Sweep {
    /// All of them, in their order.
    pub const ALL: [Self; 12] = [
        Self::RetiredAlerts,
        Self::StrayAlerts,
        Self::RawWebhooks,
        Self::ScheduledRuns,
        Self::Runs,
        // before what goes there from the outbox
        Self::Parked,
        Self::OutboxLeftovers,
        Self::Audit,
        Self::Pauses,
        Self::Tokens,
        Self::ReplacedSecrets,
        Self::SoftwareChanges,
    ];

    /// The table that it thins out, as metrics and logs name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetiredAlerts => "alert_state_retired",
            Self::StrayAlerts => "alert_state",
            Self::RawWebhooks => "alert_raw",
            Self::ScheduledRuns => "run_scheduled",
            Self::Runs => "run",
            Self::Parked => "parked",
            Self::OutboxLeftovers => "outbox",
            Self::Audit => "audit",
            Self::Pauses => "pause",
            Self::Tokens => "token",
            Self::ReplacedSecrets => "hook_previous_digest",
            Self::SoftwareChanges => "software_change",
        }
    }
}

/// What one batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that it let go.
    pub rows: u64,
    /// Whether another batch may find more.
    pub is_more: bool,
}

impl Swept {
    fn of(rows: u64) -> Self {
        Self { rows, is_more: rows >= BATCH_ROWS_MAX as u64 }
    }
}

/// Whether a round is to begin now: nobody has begun one for so long. Who is told so is the only one.
///
/// # Errors
/// What the database said.
pub async fn begin_round(store: &Store, interval: Duration) -> Result<bool, Error> {
    let begun = sqlx::query!(
        "update muster.retention set begun_at = now()
         where begun_at is null or begun_at <= now() - make_interval(secs => $1)",
        interval.as_secs_f64()
    );
    let done = store.run("begin a round of retention", begun.execute(store.pool())).await?;
    Ok(done.rows_affected() == 1)
}

/// One batch, in one short transaction: at most [`BATCH_ROWS_MAX`] rows. `me` is the program's name and version.
///
/// # Errors
/// What the database said.
pub async fn sweep(store: &Store, what: Sweep, ages: &Ages, me: &str) -> Result<Swept, Error> {
    let text = format!("let old rows of {} go", what.as_str());
    let work = async {
        let mut transaction = store.pool().begin().await.attempt(text.clone())?;
        let swept = batch(&mut transaction, what, ages.of(what).as_secs_f64(), me, &text).await?;
        transaction.commit().await.attempt(text.clone())?;
        Ok(swept)
    };
    store.within(text.clone(), store.work_ends(), work).await
}

const ROWS: i64 = BATCH_ROWS_MAX as i64;

async fn batch(connection: &mut PgConnection, what: Sweep, age_s: f64, me: &str, text: &str) -> Result<Swept, Error> {
    /// A statement that takes an age and a number of rows.
    macro_rules! by_age {
        ($file:tt) => {
            sqlx::query_file!($file, age_s, ROWS).execute(connection).await
        };
    }
    let done = match what {
        Sweep::StrayAlerts => return stray_alerts(connection, age_s).await,
        Sweep::ScheduledRuns => {
            let found = sqlx::query_file_as!(Run, "sql/retention/find_scheduled_runs.sql", age_s, ROWS);
            let found = found.fetch_all(&mut *connection).await.attempt(text.to_owned())?;
            return runs(connection, &found).await;
        }
        Sweep::Runs => {
            let found = sqlx::query_file_as!(Run, "sql/retention/find_runs.sql", age_s, ROWS);
            let found = found.fetch_all(&mut *connection).await.attempt(text.to_owned())?;
            return runs(connection, &found).await;
        }
        Sweep::OutboxLeftovers => return leftovers(connection, age_s, me).await,
        Sweep::RetiredAlerts => by_age!("sql/retention/retire_alerts.sql"),
        Sweep::RawWebhooks => by_age!("sql/retention/drop_raw.sql"),
        Sweep::Parked => by_age!("sql/retention/drop_parked.sql"),
        Sweep::Audit => by_age!("sql/retention/drop_audit.sql"),
        Sweep::Pauses => by_age!("sql/retention/drop_pauses.sql"),
        Sweep::Tokens => by_age!("sql/retention/drop_tokens.sql"),
        Sweep::ReplacedSecrets => by_age!("sql/retention/drop_digests.sql"),
        Sweep::SoftwareChanges => by_age!("sql/retention/drop_changes.sql"),
    };
    done.attempt(text.to_owned()).map(|done| Swept::of(done.rows_affected()))
}

/// An ended run that is old enough, locked.
struct Run {
    tenant: Uuid,
    run_id: Uuid,
}

/// Deletes some of the parts of these runs, and the runs that have none left. What such a run had of other things went with
/// its end. The next batch finds the rest of a run with more parts than a batch has rows.
async fn runs(connection: &mut PgConnection, found: &[Run]) -> Result<Swept, Error> {
    let what = || format!("let {} runs go", found.len());
    let (tenants, runs): (Vec<Uuid>, Vec<Uuid>) = found.iter().map(|run| (run.tenant, run.run_id)).unzip();
    let parts = sqlx::query!(
        "delete from muster.run_part
         where (tenant, run_id, name) in (
             select p.tenant, p.run_id, p.name
             from unnest($1::uuid[], $2::uuid[]) q (tenant, run_id)
             join muster.run_part p on p.tenant = q.tenant and p.run_id = q.run_id
             limit $3
         )",
        &tenants,
        &runs,
        ROWS
    );
    let parts = parts.execute(&mut *connection).await.attempt(what())?.rows_affected();
    let gone = sqlx::query!(
        "delete from muster.run r
         using unnest($1::uuid[], $2::uuid[]) q (tenant, run_id)
         where r.tenant = q.tenant and r.run_id = q.run_id
           and not exists (select from muster.run_part p where p.tenant = r.tenant and p.run_id = r.run_id)",
        &tenants,
        &runs
    );
    let gone = gone.execute(connection).await.attempt(what())?.rows_affected();
    let is_more = found.len() >= BATCH_ROWS_MAX || parts >= BATCH_ROWS_MAX as u64;
    Ok(Swept { rows: parts + gone, is_more })
}

/// One step of the walk over all alerts, in the order of their keys; at its end it begins anew, with the next round.
async fn stray_alerts(connection: &mut PgConnection, age_s: f64) -> Result<Swept, Error> {
    const WHAT: &str = "walk through the alerts";
    let at = sqlx::query!("select alert_tenant, alert_id from muster.retention for update");
    let at = at.fetch_one(&mut *connection).await.attempt(WHAT)?;
    let after = at.alert_tenant.zip(at.alert_id).unwrap_or_default();
    let found = sqlx::query_file!("sql/retention/find_strays.sql", after.0, after.1, ROWS, age_s);
    let found = found.fetch_one(&mut *connection).await.attempt(WHAT)?;
    let is_more = found.looked >= ROWS;
    let next = found.last_tenant.zip(found.last_alert).filter(|_| is_more).unzip();
    let noted = sqlx::query!("update muster.retention set alert_tenant = $1, alert_id = $2", next.0, next.1);
    noted.execute(&mut *connection).await.attempt(WHAT)?;
    let rows = drop_alerts(connection, &found.tenants, &found.alerts, age_s).await?;
    Ok(Swept { rows, is_more })
}

async fn drop_alerts(
    connection: &mut PgConnection,
    tenants: &[Uuid],
    alerts: &[Uuid],
    age_s: f64,
) -> Result<u64, Error> {
    let what = || format!("forget {} alerts", alerts.len());
    if alerts.is_empty() {
        return Ok(0);
    }
    // the locks first: who is looked at in the next statement is as the last writer left it
    let locked = sqlx::query!(
        "select s.tenant, s.alert_id from unnest($1::uuid[], $2::uuid[]) q (tenant, alert_id)
         join muster.alert_state s on s.tenant = q.tenant and s.alert_id = q.alert_id
         order by s.tenant, s.alert_id for update of s skip locked",
        tenants,
        alerts
    );
    let locked = locked.fetch_all(&mut *connection).await.attempt(what())?;
    let (tenants, alerts): (Vec<Uuid>, Vec<Uuid>) = locked.into_iter().map(|row| (row.tenant, row.alert_id)).unzip();
    let gone = sqlx::query_file!("sql/retention/drop_alerts.sql", &tenants, &alerts, age_s);
    let gone = gone.fetch_all(&mut *connection).await.attempt(what())?;
    let tenants: Vec<Uuid> = gone.iter().map(|row| row.tenant).collect();
    let integrations: Vec<Uuid> = gone.iter().map(|row| row.integration_id).collect();
    let keys: Vec<Option<&str>> = gone.iter().map(|row| row.dedup_key.as_deref()).collect();
    drop_dedups(connection, &tenants, &integrations, &keys).await.attempt(what())?;
    Ok(gone.len() as u64)
}

async fn drop_dedups(
    connection: &mut PgConnection,
    tenants: &[Uuid],
    integrations: &[Uuid],
    keys: &[Option<&str>],
) -> Result<(), sqlx::Error> {
    // here, too, the locks first
    let locked = sqlx::query!(
        r#"select d.tenant, d.integration_id, d.dedup_key
           from unnest($1::uuid[], $2::uuid[], $3::text[]) q (tenant, integration_id, dedup_key)
           join muster.alert_dedup d
               on d.tenant = q.tenant and d.integration_id = q.integration_id and d.dedup_key = q.dedup_key
           order by d.tenant, d.integration_id, d.dedup_key for update of d skip locked"#,
        tenants,
        integrations,
        keys as _
    );
    let locked = locked.fetch_all(&mut *connection).await?;
    let tenants: Vec<Uuid> = locked.iter().map(|row| row.tenant).collect();
    let integrations: Vec<Uuid> = locked.iter().map(|row| row.integration_id).collect();
    let keys: Vec<String> = locked.into_iter().map(|row| row.dedup_key).collect();
    sqlx::query_file!("sql/retention/drop_dedups.sql", &tenants, &integrations, &keys)
        .execute(connection)
        .await
        .map(drop)
}

/// Parks what nobody has published.
async fn leftovers(connection: &mut PgConnection, age_s: f64, me: &str) -> Result<Swept, Error> {
    let found = sqlx::query_file!("sql/retention/find_leftovers.sql", age_s, ROWS);
    let found = found.fetch_all(&mut *connection).await.attempt("look for what was never published")?;
    let ids: Vec<i64> = found.iter().map(|row| row.outbox_id).collect();
    let rows = found.into_iter().map(|row| Parked {
        tenant: Some(row.tenant),
        kind: Some(row.kind),
        message_id: Some(row.message_id),
        class: "unpublished".to_owned(),
        reason: format!("nobody published it for {} days", (age_s / 86_400.0).floor()),
        attempt: 0,
        worker_version: me.to_owned(),
        state: ParkedState::Parked,
        exchange: row.exchange,
        routing_key: row.routing_key,
        queue: None,
        headers: Value::Object(Map::new()),
        body: row.body,
        traceparent: row.traceparent,
        first_published_at: Some(row.created_at),
    });
    let rows: Vec<Parked> = rows.collect();
    parked::insert_in(connection, &rows).await.attempt("park what was never published")?;
    let done = sqlx::query!("delete from muster.outbox where outbox_id = any($1)", &ids);
    let done = done.execute(connection).await.attempt("take what was parked out of the outbox")?;
    Ok(Swept::of(done.rows_affected()))
}
