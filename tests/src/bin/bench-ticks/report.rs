//! The figures with their limits.

use std::io;

use sqlx::postgres::PgConnection;
use tests::figures::{Figures, machine};

use crate::Arguments;
use crate::baseline::Baseline;
use crate::measure::Slots;

/// Lateness of 99 of 100 slots, in seconds: the gateway looks every second.
const LATE_P99_MAX_S: f64 = 2.0;

/// What was measured so far.
pub(crate) struct Report {
    figures: Figures,
    schedules: f64,
    due_rate: f64,
    at_once_rate: f64,
}

impl Report {
    pub(crate) async fn new(arguments: &Arguments, sql: &mut PgConnection) -> anyhow::Result<Self> {
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut *sql).await?;
        let schedules: i64 = sqlx::query_scalar("select count(*) from muster.schedule").fetch_one(sql).await?;
        let heading = format!(
            "{}: {} tenants with {schedules} schedules, {} slots of each in {} s; {}, PostgreSQL {version}",
            chrono::Utc::now().format("%F"),
            arguments.tenants,
            arguments.rounds,
            arguments.interval_s * arguments.rounds,
            machine(),
        );
        let schedules = schedules as f64;
        let due_rate = schedules / f64::from(arguments.interval_s);
        Ok(Self { figures: Figures::new(heading), schedules, due_rate, at_once_rate: 0.0 })
    }

    pub(crate) fn spread(&mut self, slots: Slots) {
        let [p50, p99, max] = slots.late_s;
        self.figures.figure("slots spread over the interval", format!("{:.0} due a second", self.due_rate));
        let (figure, limit) = (format!("{p50:.2} / {p99:.2} / {max:.2} s"), format!("p99 <= {LATE_P99_MAX_S:.0} s"));
        self.figures.limit("spread, lateness p50 / p99 / max", figure, limit, p99 <= LATE_P99_MAX_S);
        self.each_once("spread", &slots);
    }

    pub(crate) fn at_once(&mut self, slots: Slots) {
        self.at_once_rate = self.schedules / slots.took_s.max(1e-9);
        let (figure, limit) = (
            format!("{:.1} s, {:.0} ticks/s", slots.took_s, self.at_once_rate),
            format!(">= {:.0} ticks/s, as many as are due spread", self.due_rate),
        );
        self.figures.limit("all due at once", figure, limit, self.at_once_rate >= self.due_rate);
        self.each_once("all due at once", &slots);
    }

    /// Exactly one run a slot, exactly one message a run.
    fn each_once(&mut self, part: &str, slots: &Slots) {
        let figure = format!(
            "{} slots: {} without a run, {} runs too many, {} runs without just one message",
            slots.expected, slots.missing, slots.surplus, slots.untold
        );
        let is_kept = slots.expected > 0 && (slots.missing, slots.surplus, slots.untold) == (0, 0, 0);
        self.figures.limit(&format!("{part}, one run a slot"), figure, "0, 0, 0".to_owned(), is_kept);
    }

    pub(crate) fn baseline(&mut self, baseline: &Baseline) {
        let (took_s, rows) = (baseline.took.as_secs_f64().max(1e-9), baseline.rows as f64);
        let figure = format!("{took_s:.1} s, {:.0} schedules/s", rows / took_s);
        let is_whole = rows >= self.schedules;
        let limit = format!("all {:.0}", self.schedules);
        self.figures.limit("the same rows by the bare statements", figure, limit, is_whole);
        let share = 100.0 * self.at_once_rate * took_s / rows.max(1.0);
        self.figures.figure("all due at once beside that", format!("{share:.0} %"));
    }

    /// Prints the table; whether every limit was kept.
    pub(crate) fn print(&self) -> io::Result<bool> {
        self.figures.print()
    }
}
