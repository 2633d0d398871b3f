//! What came of a case, and the table of all of them.

use std::path::PathBuf;
use std::time::Duration;

use super::{Case, Length, Outcome};

/// One case that was run once.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub case: &'static Case,
    /// From which everything was drawn.
    pub seed: u64,
    /// How long it was to take.
    pub length: Length,
    /// What came of it; `Err` holds what it panicked with.
    pub outcome: Result<Outcome, String>,
    /// How long it took, with the start of its fleet.
    pub took: Duration,
    /// Its programs' logs, which are kept where it failed.
    pub logs: PathBuf,
}

impl Report {
    /// Everything that is wrong, limits aside.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        match &self.outcome {
            Ok(outcome) => outcome.findings.clone(),
            Err(panic) => vec![panic.clone()],
        }
    }

    /// Whether it recovered too late (I5).
    #[must_use]
    pub fn is_late(&self) -> bool {
        let slowest = self.outcome.as_ref().ok().and_then(|outcome| outcome.slowest);
        slowest.is_some_and(|slowest| slowest > self.case.recovery_max)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.findings().is_empty() && !self.is_late()
    }

    /// What repeats it.
    #[must_use]
    pub fn command(&self) -> String {
        let what = match self.length {
            Length::Short => format!("--case {} --short", self.case.name),
            Length::Long => format!("--case {}", self.case.name),
            Length::Soak(minutes) => format!("--soak --minutes {minutes}"),
        };
        format!("./dev faults {what} --seed {}", self.seed)
    }

    /// Why it failed, where to look, and how to repeat it.
    #[must_use]
    pub fn story(&self) -> String {
        let findings = self.findings();
        let mut lines: Vec<String> = findings.iter().take(20).cloned().collect();
        if findings.len() > lines.len() {
            lines.push(format!("and {} more", findings.len() - lines.len()));
        }
        if self.is_late() {
            lines.push(format!("I5: it recovered later than {:?} after the fault", self.case.recovery_max));
        }
        lines.push(format!("logs: {}", self.logs.display()));
        lines.push(format!("repeat with: {}", self.command()));
        lines.join("\n")
    }
}

/// The table, in columns for a terminal or in Markdown.
#[must_use]
pub fn table(reports: &[Report], is_markdown: bool) -> String {
    let heads = ["case", "sent", "2xx", "reflected", "duplicated", "slowest recovery", "limit", "seed", "took", ""];
    let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(reports.iter().map(row));
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    if is_markdown {
        rows.insert(1, widths.iter().map(|_| "---".to_owned()).collect());
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        if is_markdown { format!("| {} |", cells.join(" | ")) } else { cells.join("  ").trim_end().to_owned() }
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(report: &Report) -> Vec<String> {
    let outcome = report.outcome.as_ref().ok();
    let number = |number: fn(&Outcome) -> u64| outcome.map_or_else(|| "?".to_owned(), |it| number(it).to_string());
    let slowest = outcome.and_then(|outcome| outcome.slowest);
    vec![
        report.case.name.to_owned(),
        number(|outcome| outcome.sent),
        number(|outcome| outcome.taken),
        number(|outcome| outcome.reflected),
        number(|outcome| outcome.duplicated),
        slowest.map_or_else(|| "-".to_owned(), |slowest| format!("{:.2} s", slowest.as_secs_f64())),
        format!("{} s", report.case.recovery_max.as_secs()),
        report.seed.to_string(),
        format!("{} s", report.took.as_secs()),
        if report.is_passed() { "ok".to_owned() } else { "FAILED".to_owned() },
    ]
}
