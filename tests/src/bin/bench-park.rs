//! `bench-park`: parked messages sent again by the console and worked on, with what it takes in time and memory.
//!
//! `./dev bench park` starts it with servers of its own. Each message is a webhook of another alert; the console is asked
//! batch by batch, as `muster park redrive` does, and a worker writes the alerts meanwhile.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use contract::alert_observed::Said;
use contract::{AlertObserved, Message as _};
use reqwest::Method;
use serde_json::{Value, json};
use store::parked::{self, Parked, ParkedState};
use store::token::Permission;
use tests::{Fleet, memory_peak_kib};

/// Messages of one request; the console's own most.
const BATCH: u32 = 500;
/// What a program may have used at most: the messages are 100 MB and more, and pass through in batches.
const PEAK_BYTES_MAX: u64 = 150 << 20;
/// How long the worker may take after the last batch.
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// Parked messages sent again.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many messages
    #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    let Arguments { messages } = Arguments::parse();
    let mut fleet = Fleet::builder().without_gateway().workers(1).console().start().await;
    park(&fleet, messages).await?;
    let begun = Instant::now();
    let batches = redrive(&fleet, messages).await?;
    let sent = begun.elapsed();
    worked(&fleet, messages).await?;
    let all = begun.elapsed();
    let peak_bytes = |pid| anyhow::Ok(memory_peak_kib(pid).context("how much memory it has had")? * 1024);
    let (console, worker) = (peak_bytes(fleet.console().pid())?, peak_bytes(fleet.worker(0).pid())?);
    let passed = console.max(worker) <= PEAK_BYTES_MAX;
    let mib = |bytes: u64| bytes >> 20;
    writeln!(
        std::io::stdout().lock(),
        "{messages} parked messages, {batches} requests\n\
         all in the outbox after     {:>8.1} s\n\
         all written as alerts after {:>8.1} s\n\
         console, peak               {:>8} MiB\n\
         alert-worker, peak          {:>8} MiB  (limit of both: {} MiB)\n{}",
        sent.as_secs_f64(),
        all.as_secs_f64(),
        mib(console),
        mib(worker),
        mib(PEAK_BYTES_MAX),
        if passed { "passed" } else { "FAILED" },
    )?;
    fleet.until_idle().await;
    Ok(if passed { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}

/// One row by the store, the others by the server from it.
async fn park(fleet: &Fleet, messages: u32) -> anyhow::Result<()> {
    let connection = fleet.connection();
    let mut observed = AlertObserved::bare(
        connection.integration_id,
        fleet.store().database_now().await?,
        Said::Open,
        "agent-000000000",
    );
    observed.alert_id = Some("1000000000".to_owned());
    observed.raw = vec![b'x'; 600];
    let first = Parked {
        tenant: Some(connection.tenant),
        kind: Some(AlertObserved::KIND.to_owned()),
        message_id: Some("message 0".to_owned()),
        class: "retryable".to_owned(),
        reason: "retryable: no".to_owned(),
        attempt: 9,
        worker_version: "alert-worker 0".to_owned(),
        state: ParkedState::Parked,
        exchange: contract::topology::WORK.to_owned(),
        routing_key: contract::envelope::routing_key::<AlertObserved>(),
        queue: None,
        headers: json!({}),
        body: serde_json::to_vec(&observed)?,
        traceparent: None,
        first_published_at: None,
    };
    parked::insert(&fleet.store(), &[first]).await?;
    let more = format!(
        "insert into muster.parked
            (dedup, tenant, kind, message_id, class, reason, attempt, worker_version, exchange, routing_key, headers, body)
         select n::text, p.tenant, p.kind, 'message ' || n, p.class, p.reason, p.attempt, p.worker_version, p.exchange,
                p.routing_key, p.headers,
                convert_to(replace(replace(convert_from(p.body, 'UTF8'), 'agent-000000000', 'agent-' || n % 10000),
                                   '1000000000', (1000000000 + n)::text), 'UTF8')
         from muster.parked p, generate_series(1, {}) n",
        messages - 1
    );
    fleet.database().execute(&more).await;
    Ok(())
}

/// Asks the console until all is sent; how often.
async fn redrive(fleet: &Fleet, messages: u32) -> anyhow::Result<u32> {
    let token = fleet.token(&[Permission::SettingsUpdate]).await;
    let (url, http) = (format!("{}/api/v1/parked/redrive", fleet.console_url()), reqwest::Client::new());
    let (mut sent, mut batches, mut up_to) = (0, 0, Value::Null);
    loop {
        let body = json!({"all": true, "limit": BATCH, "up_to": up_to});
        let answer =
            http.request(Method::POST, &url).bearer_auth(&token).json(&body).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        sent += answer["messages"].as_u64().context("the console counts")?;
        batches += 1;
        up_to = answer["up_to"].clone();
        if answer["is_done"] == true {
            break;
        }
    }
    ensure!(sent == u64::from(messages), "{sent} of {messages} messages were sent");
    Ok(batches)
}

/// Waits until every alert is written.
async fn worked(fleet: &Fleet, messages: u32) -> anyhow::Result<()> {
    let mut sql = fleet.database().connect().await;
    let ends = Instant::now() + DRAIN_MAX;
    loop {
        let rows: i64 = sqlx::query_scalar("select count(*) from rmm_alerts").fetch_one(&mut sql).await?;
        if rows == i64::from(messages) {
            return Ok(());
        }
        ensure!(Instant::now() < ends, "{rows} of {messages} alerts were written within {} s", DRAIN_MAX.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
