//! `muster spool …`: what the gateways' spools hold, and the one of a gateway that does not run, on the disk of the machine
//! where the command runs.
//!
//! What is drained goes into the outbox in Postgres, from where any worker publishes it with confirm: so neither this
//! command nor its operator needs the broker, and a message is at every moment in at least one of the two.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::spool::{Entry, Record, Spool, Writer};
use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use store::Store;
use store::outbox::{self, NewRow};
use url::Url;

use crate::console::Console;
use crate::show::{print_json, print_table, text, time};

/// Records of one transaction; the spool gives fewer where they are large.
const BATCH_RECORDS: usize = 500;
/// What the end of the spool's writer may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

type Read = fn(&Spool, u64, usize) -> Result<Vec<Entry>, ::spool::DiskError>;

/// What can be done with a spool.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// What the spool of each gateway holds, as the console tells it; with --dir the messages in one, the oldest first
    List(List),
    /// Hand everything in the spool of a gateway that does not run over to the workers, through the outbox in Postgres
    Drain(Box<Drain>),
}

/// The flags of `spool list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The folder of one spool: the gateway's --spool-dir, by default `spool` in its state directory. The gateway must not
    /// run, and needs neither console nor database for this
    #[arg(long)]
    dir: Option<PathBuf>,
    /// With --dir: at most so many of those that wait, and of those that were set aside
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// The console, e.g. `https://muster.example.com`; not with --dir
    #[arg(long, env = "MUSTER_CONSOLE_URL", required_unless_present = "dir")]
    console_url: Option<Url>,
    /// File with a token of all tenants for the console's API; or set MUSTER_TOKEN
    #[arg(long, env = "MUSTER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
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
        Command::List(List { dir: Some(folder), limit, json, .. }) => {
            list(&folder, limit, json, &mut io::stdout().lock())
        }
        Command::List(flags) => list_all(flags).await,
        Command::Drain(flags) => crate::on_store(&flags.database, async |store| drain(&flags, store).await).await,
    }
}

async fn list_all(flags: List) -> anyhow::Result<()> {
    let console_url = flags.console_url.context("--console-url (MUSTER_CONSOLE_URL) is not set")?;
    let console = Console::of_all_tenants(console_url, flags.token_file, flags.json)?;
    let answer: Value = console.get("/spools").await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let rows = answer["spools"].as_array().context("read the console's answer about spools")?;
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings = ["host", "folder", "waiting", "set aside", "bytes", "oldest", "state", "heard"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

fn cells(row: &Value) -> Vec<String> {
    let is = |name: &str| row[name] == json!(true);
    let state = match row["refusal"].as_str() {
        _ if is("is_silent") => "silent".to_owned(),
        Some(refusal) => format!("takes nothing: {refusal}"),
        None if is("is_spooling") => "spooling".to_owned(),
        None => "idle".to_owned(),
    };
    let oldest = row["oldest_age_s"].as_i64().map_or_else(String::new, |age_s| format!("{age_s} s"));
    let [host, folder, records, set_aside, bytes] =
        ["host", "folder", "records", "set_aside", "bytes"].map(|name| text(row, name));
    vec![host, folder, records, set_aside, bytes, oldest, state, time(row, "seen_at")]
}

fn list(folder: &Path, limit: u32, is_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let (spool, writer) = Spool::adopt(folder)?;
    let records_max = usize::try_from(limit)?;
    let mut shown = Vec::new();
    for (read, state) in [(Spool::read as Read, "waiting"), (Spool::read_aside, "set aside")] {
        show_all(&spool, (read, state), records_max, &mut shown)?;
    }
    let figures = spool.figures();
    close(spool, writer)?;
    if is_json {
        let (records, set_aside, bytes) = (figures.records, figures.set_aside, figures.bytes);
        print_json(&json!({"records": records, "set_aside": set_aside, "bytes": bytes, "shown": shown}))?;
        return Ok(());
    }
    let names = ["state", "came", "kind", "tenant", "message_id", "bytes"];
    let rows: Vec<Vec<String>> =
        shown.iter().map(|record| names.iter().map(|name| text(record, name)).collect()).collect();
    print_table(out, &["state", "came", "kind", "tenant", "message", "bytes"], &rows)?;
    writeln!(out, "{} wait, {} set aside, {} bytes", figures.records, figures.set_aside, figures.bytes)?;
    Ok(())
}

/// Shows so many at most, and holds a batch of them in memory.
fn show_all(
    spool: &Spool,
    (read, state): (Read, &str),
    records_max: usize,
    shown: &mut Vec<Value>,
) -> Result<(), ::spool::DiskError> {
    let (mut from, mut left) = (0, records_max);
    while left > 0 {
        let entries = read(spool, from, left.min(BATCH_RECORDS))?;
        let Some(last) = entries.last() else { break };
        from = last.number + 1;
        left -= entries.len();
        shown.extend(entries.iter().map(|entry| show(entry, state)));
    }
    Ok(())
}

/// Ends the spool: its folder is free, and everything in its place.
fn close(spool: Spool, writer: Writer) -> anyhow::Result<()> {
    drop(spool);
    anyhow::ensure!(writer.join(CLOSE_TIMEOUT), "the disk of the spool hangs");
    Ok(())
}

fn show(entry: &Entry, state: &str) -> Value {
    let came = i64::try_from(entry.number).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default();
    let came = came.to_rfc3339_opts(SecondsFormat::Millis, true);
    let record = entry.is_whole.then(|| Record::decode(&entry.bytes).ok()).flatten();
    let (kind, tenant, message_id) = record.map_or_else(
        || ("unreadable".to_owned(), String::new(), String::new()),
        |record| (record.meta.kind, record.meta.tenant.to_string(), record.meta.message_id),
    );
    json!({"state": state, "came": came, "kind": kind, "tenant": tenant, "message_id": message_id,
           "bytes": entry.bytes.len()})
}

async fn drain(flags: &Drain, store: &Store) -> anyhow::Result<()> {
    let (spool, writer) = Spool::adopt(&flags.dir)?;
    let (mut drained, mut unreadable) = hand_over(&spool, store, Spool::read).await?;
    if flags.set_aside {
        let aside = hand_over(&spool, store, Spool::read_aside).await?;
        (drained, unreadable) = (drained + aside.0, unreadable + aside.1);
    }
    let left = spool.figures();
    if left.records + left.set_aside == 0 {
        // where the command runs on the gateway's own machine nobody has to wait until its row grows old
        let folder = spool.folder().canonicalize().unwrap_or_else(|_| spool.folder().to_owned());
        store::spool::forget(store, &::spool::host(), &folder.display().to_string()).await?;
    }
    close(spool, writer)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{drained} handed over, {} left, {} set aside", left.records, left.set_aside)?;
    if unreadable > 0 {
        anyhow::bail!(
            "{unreadable} cannot be read, because a later version wrote them or the disk changed them, and stay in the spool"
        );
    }
    Ok(())
}

/// Moves everything that `read` gives into the outbox; how many were moved, and how many could not be read.
async fn hand_over(spool: &Spool, store: &Store, read: Read) -> anyhow::Result<(usize, usize)> {
    let (mut from, mut drained, mut unreadable) = (0, 0, 0);
    loop {
        let entries = read(spool, from, BATCH_RECORDS)?;
        let Some(last) = entries.last() else { return Ok((drained, unreadable)) };
        from = last.number + 1;
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for entry in entries {
            match Record::decode(&entry.bytes) {
                Ok(record) if entry.is_whole => {
                    rows.push(row(record));
                    gone.push(entry);
                }
                _ => unreadable += 1,
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
