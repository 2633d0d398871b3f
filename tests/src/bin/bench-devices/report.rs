//! The figures as a table of Markdown, each limit with its verdict.

use std::io;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tests::figures::{Figures, machine};

use crate::Arguments;
use crate::baseline::Baseline;
use crate::measure::Cost;
use crate::stage::Stage;

/// Share of the baseline's rate that a first sync must reach.
const FIRST_SHARE_MIN: f64 = 0.70;
/// Memory of a worker, whatever the size of the fleet.
const MEMORY_BYTES_MAX: u64 = 150_000_000;
/// WAL of a row of which only last_seen has moved, full-page images left out: they follow the checkpoints.
const WAL_ROW_BYTES_MAX: f64 = 150.0;
/// Share of updates that touch no index.
const HOT_SHARE_MIN: f64 = 0.95;

/// What was measured so far.
pub(crate) struct Report {
    figures: Figures,
    first_rows_s: f64,
}

impl Report {
    pub(crate) async fn new(arguments: &Arguments, stage: &Stage) -> anyhow::Result<Self> {
        let version: String =
            sqlx::query_scalar(AssertSqlSafe("show server_version")).fetch_one(&mut stage.sql().await).await?;
        let heading = format!(
            "{}: {} agents of {} clients, {} % online; {}, PostgreSQL {version}",
            chrono::Utc::now().format("%F"),
            arguments.agents,
            arguments.clients,
            arguments.online_percent,
            machine(),
        );
        Ok(Self { figures: Figures::new(heading), first_rows_s: 0.0 })
    }

    pub(crate) fn list_alone(&mut self, (bytes, took): (u64, Duration)) {
        let figure = format!("{:.1} s, {:.0} MB", took.as_secs_f64(), bytes as f64 / 1e6);
        self.figures.figure("the simulator's list of all agents, read and thrown away", figure);
    }

    pub(crate) fn first(&mut self, cost: Cost) {
        self.first_rows_s = rate(cost.seen, cost.took);
        self.figures.figure("first sync", format!("{}, {:.0} rows/s", took(&cost), self.first_rows_s));
        self.figures.figure("first sync, WAL", wal(&cost, cost.seen));
    }

    pub(crate) fn frozen(&mut self, cost: Cost) {
        self.figures.figure("nothing changed", format!("{}, {:.0} rows/s", took(&cost), rate(cost.seen, cost.took)));
        self.figures.limit(
            "nothing changed, rows rewritten",
            cost.rewritten.to_string(),
            "0".to_owned(),
            cost.rewritten == 0,
        );
        self.figures.figure("nothing changed, WAL", wal(&cost, cost.seen));
    }

    pub(crate) fn seen_again(&mut self, cost: Cost) {
        let figure = format!("{}, {} of {} rows rewritten", took(&cost), cost.rewritten, cost.seen);
        self.figures.figure("every online agent seen again", figure);
        let row_bytes = cost.wal_record_bytes as f64 / cost.rewritten.max(1) as f64;
        let passed = cost.rewritten > 0 && row_bytes <= WAL_ROW_BYTES_MAX;
        let limit = format!("<= {WAL_ROW_BYTES_MAX:.0} bytes a row without page images");
        self.figures.limit("every online agent seen again, WAL", wal(&cost, cost.rewritten), limit, passed);
        let share = cost.hot_updates as f64 / cost.updates.max(1) as f64;
        let figure = format!("{:.1} % of {} updates", 100.0 * share, cost.updates);
        let limit = format!(">= {:.0} %", 100.0 * HOT_SHARE_MIN);
        self.figures.limit(
            "every online agent seen again, HOT",
            figure,
            limit,
            cost.updates > 0 && share >= HOT_SHARE_MIN,
        );
    }

    pub(crate) fn baseline(&mut self, baseline: Baseline) {
        let rows_s = rate(baseline.assets, baseline.took);
        let figure = format!("{:.1} s, {rows_s:.0} rows/s", baseline.took.as_secs_f64());
        self.figures.figure("the same rows by COPY and insert-select", figure);
        let share = self.first_rows_s / rows_s;
        let limit = format!(">= {:.0} %", 100.0 * FIRST_SHARE_MIN);
        let figure = format!("{:.0} %", 100.0 * share);
        self.figures.limit("first sync beside that", figure, limit, share >= FIRST_SHARE_MIN);
    }

    pub(crate) fn memory(&mut self, bytes: u64) {
        self.peak("worker, peak memory".to_owned(), bytes);
    }

    pub(crate) fn software_memory(&mut self, (agents, bytes): (i64, u64)) {
        self.peak(format!("inventory-worker, peak memory after {agents} agents"), bytes);
    }

    fn peak(&mut self, measure: String, bytes: u64) {
        let limit = format!("<= {} MB", MEMORY_BYTES_MAX / 1_000_000);
        self.figures.limit(&measure, format!("{:.0} MB", bytes as f64 / 1e6), limit, bytes <= MEMORY_BYTES_MAX);
    }

    /// Prints the table; whether every limit was kept.
    pub(crate) fn print(&self) -> io::Result<bool> {
        self.figures.print()
    }
}

fn took(cost: &Cost) -> String {
    format!("{:.1} s", cost.took.as_secs_f64())
}

fn wal(cost: &Cost, rows: i64) -> String {
    let (rows, mb) = (rows.max(1) as f64, 1e6);
    let (records, images) = (cost.wal_record_bytes as f64, cost.wal_image_bytes as f64);
    format!(
        "{:.1} MB + {:.1} MB page images; {:.0} + {:.0} bytes a row",
        records / mb,
        images / mb,
        records / rows,
        images / rows
    )
}

fn rate(rows: i64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64().max(1e-9)
}
