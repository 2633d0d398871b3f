//! `muster spool …`: the spool of a gateway that does not run, on the disk of the machine where the command runs.
//!
//! What is drained goes into the outbox in Postgres, from where any worker publishes it with confirm: so neither this
//! command nor its operator needs the broker, and a message is at every moment in at least one of the two.

use std::io::{self, Write};
use std::path::PathBuf;

use ::spool::{Entry, Record, Spool};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use store::Store;
use store::outbox::{self, NewRow};

use crate::show::{print_json, print_table};

/// Records of one transaction.
const BATCH_RECORDS: usize = 500;

/// What can be done with a spool.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what is in it, the oldest first
    List(List),
    /// Hand everything over to the workers, through the outbox in Postgres, and remove it
    Drain(Box<Drain>),
}

/// The flags of `spool list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The spool's folder: the gateway's --spool-dir, by default `spool` in its state directory
    #[arg(long)]
    dir: PathBuf,
    /// At most so many of those that wait, and of those that were set aside
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The flags of `spool drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// The spool's folder: the gateway's --spool-dir, by default `spool` in its state directory
    #[arg(long)]
    dir: PathBuf,
    /// What was set aside because the broker refused it five times, too
    #[arg(long)]
    set_aside: bool,
    #[command(flatten)]
    database: store::Config,
}

/// Does it and prints the result.
///
/// # Errors
/// There is no spool, a gateway has it, or the database does not answer.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(flags) => list(&flags, &mut io::stdout().lock()),
        Command::Drain(flags) => crate::on_store(&flags.database, async |store| drain(&flags, store).await).await,
    }
}

fn list(flags: &List, out: &mut impl Write) -> anyhow::Result<()> {
    let (spool, _writer) = Spool::adopt(&flags.dir)?;
    let records_max = usize::try_from(flags.limit)?;
    let waiting = spool.read(0, records_max)?;
    let aside = spool.read_aside(0, records_max)?;
    let shown: Vec<Value> = (waiting.iter().map(|entry| show(entry, "waiting")))
        .chain(aside.iter().map(|entry| show(entry, "set aside")))
        .collect();
    let figures = spool.figures();
    if flags.json {
        let (records, set_aside, bytes) = (figures.records, figures.set_aside, figures.bytes);
        print_json(&json!({"records": records, "set_aside": set_aside, "bytes": bytes, "shown": shown}))?;
        return Ok(());
    }
    let names = ["state", "came", "kind", "tenant", "message_id", "bytes"];
    let cell = |record: &Value, name: &str| match &record[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        shown.iter().map(|record| names.iter().map(|name| cell(record, name)).collect()).collect();
    print_table(out, &["STATE", "CAME", "KIND", "TENANT", "MESSAGE", "BYTES"], &rows)?;
    writeln!(out, "{} wait, {} set aside, {} bytes", figures.records, figures.set_aside, figures.bytes)?;
    Ok(())
}

fn show(entry: &Entry, state: &str) -> Value {
    let came = i64::try_from(entry.number).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default();
    let came = came.to_rfc3339_opts(SecondsFormat::Millis, true);
    let record = Record::decode(&entry.bytes).ok();
    let (kind, tenant, message_id) = record.map_or_else(
        || ("unreadable".to_owned(), String::new(), String::new()),
        |record| (record.meta.kind, record.meta.tenant.to_string(), record.meta.message_id),
    );
    json!({"state": state, "came": came, "kind": kind, "tenant": tenant, "message_id": message_id,
           "bytes": entry.bytes.len()})
}

async fn drain(flags: &Drain, store: &Store) -> anyhow::Result<()> {
    let (spool, _writer) = Spool::adopt(&flags.dir)?;
    let (mut drained, mut unreadable) = hand_over(&spool, store, Spool::read).await?;
    if flags.set_aside {
        let aside = hand_over(&spool, store, Spool::read_aside).await?;
        (drained, unreadable) = (drained + aside.0, unreadable + aside.1);
    }
    let left = spool.figures();
    let mut out = io::stdout().lock();
    writeln!(out, "{drained} handed over, {} left, {} set aside", left.records, left.set_aside)?;
    if unreadable > 0 {
        anyhow::bail!("{unreadable} cannot be read by this version of muster and stay in the spool");
    }
    Ok(())
}

/// Moves everything that `read` gives into the outbox; how many were moved, and how many could not be read.
async fn hand_over(
    spool: &Spool,
    store: &Store,
    read: impl Fn(&Spool, u64, usize) -> Result<Vec<Entry>, ::spool::DiskError>,
) -> anyhow::Result<(usize, usize)> {
    let (mut from, mut drained, mut unreadable) = (0, 0, 0);
    loop {
        let entries = read(spool, from, BATCH_RECORDS)?;
        let Some(last) = entries.last() else { return Ok((drained, unreadable)) };
        from = last.number + 1;
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for entry in entries {
            match Record::decode(&entry.bytes) {
                Ok(record) => {
                    rows.push(row(record));
                    gone.push(entry);
                }
                Err(_) => unreadable += 1,
            }
        }
        outbox::add(store, &rows).await?;
        spool.remove(&gone)?;
        drained += gone.len();
    }
}

fn row(record: Record) -> NewRow {
    let Record { exchange, routing_key, meta, body } = record;
    NewRow {
        tenant: meta.tenant,
        exchange,
        routing_key,
        kind: meta.kind,
        dedup: meta.message_id.clone(),
        message_id: meta.message_id,
        body,
        traceparent: meta.traceparent,
        available_at: None,
    }
}
