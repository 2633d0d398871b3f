//! A Postgres that goes away, fails over, ends sessions, refuses new ones, or has other guests.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio_util::sync::CancellationToken;

use super::broker::{BEFORE, ENDLESS, RATE, meanwhile, silence, under_load};
use super::workers::{LOCK_MS_MAX, until_telling};
use super::{Case, Ground, Outcome, Trial};
use crate::fleet::Builder;
use crate::proxy::Fault;
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[
    Case::new("postgres-stopped", "immediate stop of Postgres, and its start", |ground| Box::pin(stopped(ground)))
        .everyday()
        .recovers_within_s(5),
    Case::new("postgres-sessions-ended", "sessions ended in their transactions, again and again", |ground| {
        Box::pin(sessions_ended(ground))
    })
    .everyday()
    .recovers_within_s(5),
    Case::new("postgres-fails-over", "Postgres dies and its synchronous replica takes over", |ground| {
        Box::pin(fails_over(ground))
    }),
    Case::new(
        "postgres-worker-frozen",
        "workers stand still (SIGSTOP) in a transaction until Postgres and the broker end it, and go on beside another",
        |ground| Box::pin(worker_frozen(ground)),
    )
    .recovers_within_s(HEARTBEATS_S + 15),
    Case::new("postgres-migration-late", "workers are there before their migration: they wait for it", |ground| {
        Box::pin(migration_late(ground))
    }),
    Case::new("postgres-contended", "a rival's deadlocks, locks and serialization failures", |ground| {
        Box::pin(contended(ground))
    }),
    Case::new("postgres-connections-exhausted", "others have taken every connection (max_connections)", |ground| {
        Box::pin(connections_exhausted(ground))
    }),
    Case::new("postgres-disk-full", "no byte is left on the disk of Postgres (takes root: a small tmpfs)", |ground| {
        Box::pin(disk_full(ground))
    }),
    Case::new("postgres-half-open", "nothing comes back from Postgres any more, not even an end", |ground| {
        Box::pin(half_open(ground))
    }),
    Case::new(
        "postgres-half-open-forever",
        "connections to Postgres fall silent and never end; new ones work",
        |ground| Box::pin(half_open_forever(ground)),
    )
    .recovers_within_s(NOTICED_S + 15),
];

/// A statement's own timeout, and the client's patience beyond it, twice: for the statement and for what is said next.
const NOTICED_S: u64 = 30;
/// Two heartbeats that are missed, of ten seconds each, and the broker's own rhythm of looking.
const HEARTBEATS_S: u64 = 30;
/// What the programs of a fleet call themselves to Postgres.
const OURS: &str = "application_name in ('alert-worker', 'ingest-gateway')";

fn fleet() -> Builder {
    Fleet::builder().workers(2)
}

/// Ten milliseconds of attempts: an outage that burnt any would have its messages parked.
fn impatient() -> Builder {
    fleet().set("MUSTER_RETRY_BASE_MS", 1).set("MUSTER_ATTEMPTS_MAX", 3)
}

async fn stopped(ground: Ground) -> Outcome {
    let away = Duration::from_secs(ground.pick(2, 20));
    let mut trial = under_load(ground, impatient().private_postgres(&[])).await;
    trial.fleet().postgres().stop_at_once();
    meanwhile(&trial, away).await;
    trial.fleet().postgres().start_again().await;
    trial.healed().await;
    trial.finish().await
}

async fn sessions_ended(ground: Ground) -> Outcome {
    let rounds = ground.pick(20, 200);
    let mut trial = under_load(ground, impatient()).await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and application_name = 'alert-worker' and xact_start is not null";
    for _ in 0..rounds {
        // somebody is at work all the time; not to be in time is a round less
        until(DEADLINE, async || match sqlx::query_scalar::<_, i64>(end).fetch_one(trial.sql()).await {
            Ok(0) => Err("nobody is in a transaction".to_owned()),
            Ok(ended) => Ok(ended),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }
    trial.healed().await;
    trial.finish().await
}

async fn fails_over(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, impatient().private_postgres(&[])).await;
    trial.fleet().postgres().add_replica().await;
    trial.load(RATE, ENDLESS);
    trial.under_way(BEFORE).await;
    trial.fleet().postgres().fail_over().await;
    trial.healed().await;
    trial.finish().await
}

/// What they have in hand is another's once the broker misses their heartbeats, and is not done twice when they go on.
async fn worker_frozen(ground: Ground) -> Outcome {
    let idle_ms = ground.pick(1_000, 10_000);
    // a lock that is given up sends the batch to a rung, and the moment would be over
    let fleet = fleet()
        .set("MUSTER_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS", idle_ms)
        .set("MUSTER_DATABASE_LOCK_TIMEOUT_MS", LOCK_MS_MAX);
    let mut trial = under_load(ground, fleet).await;
    let mut rival = trial.fleet().database().connect().await;
    let mut held = rival.begin().await.expect("the database answers");
    sqlx::query("lock table muster.outbox in share mode").execute(&mut *held).await.expect("it is given");
    until_telling(&trial).await;
    trial.fleet().worker(0).signal("STOP");
    trial.fleet().worker(1).signal("STOP");
    held.rollback().await.expect("the database answers");
    // the statement ends, and nobody says the next one
    let idle = "application_name = 'alert-worker' and state = 'idle in transaction'";
    until(DEADLINE, async || match trial.sessions(idle).await? {
        0 => Err("nobody stands still in a transaction".to_owned()),
        _ => Ok(()),
    })
    .await;
    until(DEADLINE * 2, async || match trial.sessions(idle).await? {
        0 => Ok(()),
        open => Err(format!("{open} transactions are open")),
    })
    .await;
    // somebody else takes over what they have in hand, and then they go on
    trial.fleet().add_worker().await;
    trial.healed().await;
    for place in 0..2 {
        trial.fleet().worker(place).signal("CONT");
    }
    trial.under_way_more(BEFORE).await;
    trial.healed().await;
    trial.finish().await
}

/// A table of a later version is not there yet: nothing may be parked, however often it is tried.
async fn migration_late(ground: Ground) -> Outcome {
    let late = Duration::from_secs(ground.pick(6, 30));
    let mut trial = under_load(ground, impatient()).await;
    trial.fleet().database().execute("alter table muster.alert_state rename to alert_state_of_later").await;
    meanwhile(&trial, late).await;
    let parked = store::parked::count(&trial.fleet.store()).await.expect("the database answers");
    assert_eq!(parked, 0, "messages were parked while the schema was not theirs");
    trial.fleet().database().execute("alter table muster.alert_state_of_later rename to alert_state").await;
    trial.healed().await;
    trial.finish().await
}

async fn contended(ground: Ground) -> Outcome {
    let (time, seed) = (Duration::from_secs(ground.pick(5, 20)), ground.seed);
    // contention that goes on burns attempts: the longest rung is seven seconds, all ten are thirty-three
    let mut trial = under_load(ground, fleet().set("MUSTER_RETRY_BASE_MS", 2)).await;
    // a session that locks rows in another order than ours meets deadlocks; one that sees a snapshot, serialization failures
    isolate(&trial, "repeatable read").await;
    let before = deadlocks(&trial).await;
    let stop = CancellationToken::new();
    let rivals: Vec<_> = (0..3)
        .map(|number| {
            let url = trial.fleet.database().url().to_owned();
            tokio::spawn(rival(url, seed.wrapping_add(number), stop.clone()))
        })
        .collect();
    meanwhile(&trial, time).await;
    stop.cancel();
    for rival in rivals {
        let rounds = rival.await.expect("a rival does not panic");
        assert!(rounds > 0, "a rival never got its locks");
    }
    assert!(deadlocks(&trial).await > before, "nobody met a deadlock");
    let logs = [0, 1].map(|place| trial.fleet().worker(place).log()).concat();
    assert!(logs.iter().any(|line| line.contains("could not serialize")), "no worker met a serialization failure");
    isolate(&trial, "read committed").await;
    trial.healed().await;
    trial.finish().await
}

/// How many sessions were ended for one: ours, since a rival looks for deadlocks later than they do.
async fn deadlocks(trial: &Trial) -> i64 {
    // what a session counts is told when it is idle
    sqlx::raw_sql("select pg_stat_force_next_flush()").execute(trial.sql()).await.expect("it answers");
    let count = "select deadlocks from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(count).fetch_one(trial.sql()).await.expect("the database answers")
}

/// New sessions have that isolation, and ours are new.
async fn isolate(trial: &Trial, level: &str) {
    let database = trial.fleet.database();
    let set = format!(
        "do $$ begin
             execute format('alter database %I set default_transaction_isolation = %L', current_database(), '{level}');
         end $$"
    );
    database.execute(&set).await;
    database.execute(&end_ours()).await;
}

fn end_ours() -> String {
    format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and {OURS}")
}

/// Locks and changes rows in an order of its own, in transactions of a few rows, until it is stopped; how many it committed.
async fn rival(url: String, seed: u64, stop: CancellationToken) -> u32 {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut connection = PgConnection::connect(&url).await.expect("the database is there");
    let settings = "set deadlock_timeout = '10s'; set default_transaction_isolation = 'serializable'";
    sqlx::raw_sql(settings).execute(&mut connection).await.expect("a superuser may");
    let mut committed = 0;
    while !stop.is_cancelled() {
        committed += u32::from(disturb(&mut connection, &mut rng).await.is_ok());
    }
    committed
}

async fn disturb(connection: &mut PgConnection, rng: &mut StdRng) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    // ours take them the other way round
    for table in ["rmm_alerts", "muster.alert_state", "muster.alert_dedup"] {
        let rows = rng.random_range(1..20);
        let update = format!(
            "update {table} set tenant = tenant
             where ctid = any (array(select ctid from {table} order by random() limit {rows}))"
        );
        sqlx::query(AssertSqlSafe(update)).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn connections_exhausted(ground: Ground) -> Outcome {
    let time = Duration::from_secs(ground.pick(4, 20));
    let mut trial = under_load(ground, impatient().private_postgres(&["max_connections=40"])).await;
    let url = trial.fleet().database().url().to_owned();
    let mut all = Vec::new();
    let mut last = take_all(&url, &mut all).await;
    // ours want new ones, and somebody else is faster sooner or later
    let deadline = Instant::now() + DEADLINE;
    loop {
        let ended = sqlx::raw_sql(AssertSqlSafe(end_ours())).execute(&mut last).await.expect("the database answers");
        if ended.rows_affected() == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "ours always get connections again");
        let newest = take_all(&url, &mut all).await;
        all.push(std::mem::replace(&mut last, newest));
    }
    meanwhile(&trial, time).await;
    drop((all, last));
    trial.healed().await;
    trial.finish().await
}

/// Opens connections until there are no more; the last one that was given.
async fn take_all(url: &str, all: &mut Vec<PgConnection>) -> PgConnection {
    let options = PgConnectOptions::from_str(url).expect("it is a URL").application_name("a rival");
    while let Ok(one) = PgConnection::connect_with(&options).await {
        all.push(one);
    }
    all.pop().expect("there was one left")
}

async fn disk_full(ground: Ground) -> Outcome {
    let full = Duration::from_secs(ground.pick(4, 20));
    let small = impatient().private_postgres(&["max_wal_size=48MB", "min_wal_size=32MB"]).private_disk(256);
    let mut trial = under_load(ground, small).await;
    trial.fleet().postgres().fill_disk();
    let more = "create table more_than_fits as select repeat('x', 1000) from generate_series(1, 300000)";
    let written = sqlx::query(more).execute(trial.sql()).await;
    assert!(written.is_err(), "there was room for 300 MB on the full disk");
    meanwhile(&trial, full).await;
    trial.fleet().postgres().empty_disk().await;
    trial.healed().await;
    trial.finish().await
}

/// At the end the old connections are reset, as by the router that has forgotten them.
async fn half_open(ground: Ground) -> Outcome {
    let deaf = Duration::from_secs(ground.pick(6, 25));
    let mut trial = under_load(ground, impatient().proxies()).await;
    trial.fleet().database_proxy().set(Fault::HALF_OPEN);
    meanwhile(&trial, deaf).await;
    let gave_up = |log: Vec<String>| log.iter().any(|line| line.contains("postgres cannot be used"));
    assert!(gave_up(trial.fleet().worker(0).log()), "a worker has not noticed that nothing comes back");
    trial.fleet().database_proxy().reset();
    trial.fleet().database_proxy().set(Fault::NONE);
    trial.healed().await;
    trial.finish().await
}

/// Nothing ends the silence of these connections, so recovery begins with it.
async fn half_open_forever(ground: Ground) -> Outcome {
    let rounds = ground.pick(1, 3);
    let mut trial = under_load(ground, fleet().proxies()).await;
    for _ in 0..rounds {
        let silent = silence(trial.fleet().database_proxy());
        trial.healed().await;
        trial.under_way_more(BEFORE).await;
        trial.healed().await;
        silent.is_still_silent();
    }
    trial.finish().await
}
