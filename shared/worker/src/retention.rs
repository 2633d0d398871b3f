//! Retention: every worker process looks for what is too old to be kept, and one of them a round lets it go.
//!
//! Here and not in the gateway, which is to answer webhooks and nothing else; and not as a job, since a queue that is
//! behind must not keep a disk from being freed. Whoever begins a round is decided by the database, so that any number
//! of processes is as good as one, and one that dies leaves its round to the next.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use store::Store;
use store::retention::{self, Ages, Sweep, Swept};
use telemetry::{field, metric};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A day, in seconds.
const DAY_S: u64 = 24 * 60 * 60;
/// The longest age, in days: a hundred years, for what is to be kept for good.
const DAYS_MAX: u64 = 36_500;
/// The shortest age of the audit, in days: well above the day that a message may be tried again for.
const AUDIT_DAYS_MIN: u64 = 7;
/// Pause between two full batches, so that a first round over years of rows leaves the disk to the jobs.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a process asks whether a round is due, where rounds are further apart.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Flags and variables of retention. Whichever worker begins a round goes by its own: all of them must have the same.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Retention")]
pub struct Config {
    /// How often one of all workers lets go what is older than the ages below; whichever begins goes by its own settings, so
    /// give all workers the same
    #[arg(long, env = "MUSTER_RETENTION_INTERVAL_S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub retention_interval_s: u64,
    /// Days for which an ended alert's details are kept beside its row, and the bytes of odd webhooks; the row itself
    /// stays
    #[arg(long, env = "MUSTER_RETAIN_ALERTS_DAYS", default_value_t = 90, value_parser = days())]
    pub retain_alerts_days: u64,
    /// Days for which ended runs are kept; the last one of each kind of a connection stays
    #[arg(long, env = "MUSTER_RETAIN_RUNS_DAYS", default_value_t = 30, value_parser = days())]
    pub retain_runs_days: u64,
    /// Days for which runs are kept that a schedule began and that are complete: nearly all there are
    #[arg(long, env = "MUSTER_RETAIN_SCHEDULED_RUNS_DAYS", default_value_t = 3, value_parser = days())]
    pub retain_scheduled_runs_days: u64,
    /// Days for which parked messages are kept
    #[arg(long, env = "MUSTER_RETAIN_PARKED_DAYS", default_value_t = 30, value_parser = days())]
    pub retain_parked_days: u64,
    /// Days after which a message that no worker could publish is parked
    #[arg(long, env = "MUSTER_RETAIN_OUTBOX_DAYS", default_value_t = 30, value_parser = days())]
    pub retain_outbox_days: u64,
    /// Days for which the audit is kept; by it late messages of a removed tenant are known, so a week at least
    #[arg(long, env = "MUSTER_RETAIN_AUDIT_DAYS", default_value_t = 365, value_parser = RangedU64ValueParser::<u64>::new().range(AUDIT_DAYS_MIN..=DAYS_MAX))]
    pub retain_audit_days: u64,
    /// Days for which the history of software is kept; what is installed stays
    #[arg(long, env = "MUSTER_RETAIN_SOFTWARE_DAYS", default_value_t = 365, value_parser = days())]
    pub retain_software_days: u64,
    /// Days for which tokens of the console's API are kept once they are revoked or expired
    #[arg(long, env = "MUSTER_RETAIN_TOKENS_DAYS", default_value_t = 30, value_parser = days())]
    pub retain_tokens_days: u64,
}

fn days() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=DAYS_MAX)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retention_interval_s: 3_600,
            retain_alerts_days: 90,
            retain_runs_days: 30,
            retain_scheduled_runs_days: 3,
            retain_parked_days: 30,
            retain_outbox_days: 30,
            retain_audit_days: 365,
            retain_software_days: 365,
            retain_tokens_days: 30,
        }
    }
}

impl Config {
    fn interval(&self) -> Duration {
        Duration::from_secs(self.retention_interval_s)
    }

    fn ages(&self) -> Ages {
        let days = |days: u64| Duration::from_secs(days * DAY_S);
        Ages {
            alerts: days(self.retain_alerts_days),
            runs: days(self.retain_runs_days),
            scheduled_runs: days(self.retain_scheduled_runs_days),
            parked: days(self.retain_parked_days),
            outbox: days(self.retain_outbox_days),
            audit: days(self.retain_audit_days),
            software: days(self.retain_software_days),
            tokens: days(self.retain_tokens_days),
        }
    }
}

/// Runs rounds until `stop`; a batch under way is then given up, and nothing of it is done. `me` is the program's name
/// and version.
pub(crate) async fn run(store: Store, config: Config, me: String, stop: CancellationToken) {
    // a round's share of its interval, so that all sorts have their turn before the next one is due
    let share = config.interval() / u32::try_from(Sweep::ALL.len()).expect("there are a dozen");
    let rounds = async {
        let mut told = None;
        loop {
            match retention::begin_round(&store, config.interval()).await {
                Ok(is_begun) => {
                    told = None;
                    if is_begun {
                        round(&store, &config.ages(), share, &me).await;
                    }
                }
                Err(error) if is_news_of(&mut told, fault::chain(&error)) => {
                    tracing::warn!({ field::ERROR } = %fault::chain(&error), "nothing that is old is let go");
                }
                Err(_) => {}
            }
            tokio::time::sleep(config.interval().min(LOOK_MAX)).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = stop.cancelled() => {}
    }
}

/// Whether an error is another one than the last. What keeps a round from beginning may last as long as a mistake with a role's
/// rights, and is not told with each look.
fn is_news_of(told: &mut Option<String>, error: String) -> bool {
    let is_news = told.as_ref() != Some(&error);
    *told = Some(error);
    is_news
}

/// One round over everything, each sort for its share of the time. What fails is told, and the rest goes on: the next round
/// tries it again.
async fn round(store: &Store, ages: &Ages, share: Duration, me: &str) {
    let mut gone: Vec<String> = Vec::new();
    let mut total = 0;
    for what in Sweep::ALL {
        let rows = sweep(store, what, ages, share, me).await;
        if rows == 0 {
            continue;
        }
        if what == Sweep::OutboxLeftovers {
            tracing::warn!({ field::OUTBOX_ROWS } = rows, "messages that nobody published for long were parked");
        }
        total += rows;
        gone.push(format!("{} {rows}", what.as_str()));
    }
    if total > 0 {
        tracing::info!({ field::RETENTION_ROWS } = total, "what was kept long enough was let go: {}", gone.join(", "));
    }
}

/// The batches of one sort, one at least; how many rows they let go. What is left after its share of the time has its turn in
/// the next round: by default five minutes an hour, in which some five thousand batches fit.
async fn sweep(store: &Store, what: Sweep, ages: &Ages, share: Duration, me: &str) -> u64 {
    let ends = Instant::now() + share;
    let mut total = 0;
    loop {
        let Swept { rows, is_more } = match retention::sweep(store, what, ages, me).await {
            Ok(swept) => swept,
            Err(error) => {
                tracing::warn!({ field::ERROR } = %fault::chain(&error), "a batch of retention failed");
                break;
            }
        };
        total += rows;
        metrics::counter!(metric::RETENTION_ROWS_TOTAL, "table" => what.as_str()).increment(rows);
        if !is_more {
            break;
        }
        if Instant::now() >= ends {
            tracing::info!("{} is not through yet, the rest is let go in the next round", what.as_str());
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    total
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use store::testing::TestDatabase;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        retention: Config,
    }

    #[test]
    fn the_flags_defaults_are_those_of_default() {
        let flags = Flags::parse_from(["worker"]);
        assert_eq!(format!("{:?}", flags.retention), format!("{:?}", Config::default()));
    }

    #[test]
    fn an_age_is_a_number_of_days_from_one_to_a_century() {
        for flag in ["alerts", "runs", "scheduled-runs", "parked", "outbox", "audit", "software", "tokens"] {
            let least = if flag == "audit" { AUDIT_DAYS_MIN } else { 1 };
            let flag = format!("--retain-{flag}-days");
            for (value, is_good) in [(least - 1, false), (least, true), (DAYS_MAX, true), (DAYS_MAX + 1, false)] {
                let parsed = Flags::try_parse_from(["worker", &flag, &value.to_string()]);
                assert_eq!(parsed.is_ok(), is_good, "{flag} {value}");
            }
        }
        assert_eq!((AUDIT_DAYS_MIN, DAYS_MAX), (7, 36_500));
        let ages = Config { retain_runs_days: 2, ..Config::default() }.ages();
        let days = [ages.runs, ages.scheduled_runs, ages.audit].map(|age| age.as_secs() / DAY_S);
        assert_eq!(days, [2, 3, 365]);
    }

    const AUDIT: &str = "insert into muster.audit (at, actor, action)
        select now() - interval '400 days', 'a test', 'x' from generate_series(1, 2500)";

    #[tokio::test]
    async fn a_sort_goes_on_for_its_share_of_the_time_and_does_one_batch_at_least() {
        let database = TestDatabase::create().await;
        database.execute(AUDIT).await;
        let (store, ages) = (database.store(), Config::default().ages());
        assert_eq!(sweep(&store, Sweep::Audit, &ages, Duration::ZERO, "a test").await, 1_000);
        assert_eq!(sweep(&store, Sweep::Audit, &ages, Duration::from_secs(60), "a test").await, 1_500);
    }

    #[tokio::test]
    async fn a_sort_that_fails_keeps_no_other_one_from_its_turn() {
        let database = TestDatabase::create().await;
        database.execute(AUDIT).await;
        // an earlier one
        database.execute("drop table muster.alert_raw").await;
        let (store, ages) = (database.store(), Config::default().ages());
        round(&store, &ages, Duration::from_secs(60), "a test").await;
        assert_eq!(sweep(&store, Sweep::Audit, &ages, Duration::ZERO, "a test").await, 0, "nothing old is left");
    }

    #[test]
    fn what_keeps_a_round_from_beginning_is_told_once_until_it_changes() {
        let mut told = None;
        for (error, is_news) in [("denied", true), ("denied", false), ("away", true), ("denied", true)] {
            assert_eq!(is_news_of(&mut told, error.to_owned()), is_news, "{error}");
        }
    }

    #[test]
    fn rounds_are_from_a_second_to_a_day_apart() {
        for (value, is_good) in [("0", false), ("1", true), ("86400", true), ("86401", false)] {
            let parsed = Flags::try_parse_from(["worker", "--retention-interval-s", value]);
            assert_eq!(parsed.is_ok(), is_good, "{value}");
        }
    }
}
