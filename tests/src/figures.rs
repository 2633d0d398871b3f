//! Figures of a measurement as a table of Markdown, each limit with its verdict.

use std::io::{self, Write as _};

/// One line of the table.
#[derive(Debug)]
struct Line {
    measure: String,
    figure: String,
    limit: String,
    is_kept: Option<bool>,
}

/// What was measured so far.
#[derive(Debug)]
pub struct Figures {
    heading: String,
    lines: Vec<Line>,
}

impl Figures {
    /// No figures yet, under a heading.
    #[must_use]
    pub fn new(heading: String) -> Self {
        Self { heading, lines: Vec::new() }
    }

    /// A figure that nothing is promised of.
    pub fn figure(&mut self, measure: &str, figure: String) {
        self.lines.push(Line { measure: measure.to_owned(), figure, limit: String::new(), is_kept: None });
    }

    /// A figure with its limit in words, and whether it is kept.
    pub fn limit(&mut self, measure: &str, figure: String, limit: String, is_kept: bool) {
        self.lines.push(Line { measure: measure.to_owned(), figure, limit, is_kept: Some(is_kept) });
    }

    /// Prints the table; whether every limit was kept.
    ///
    /// # Errors
    /// What the standard output said.
    pub fn print(&self) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}\n\n| measure | figure | limit | |\n| --- | --- | --- | --- |", self.heading)?;
        for line in &self.lines {
            let verdict = match line.is_kept {
                None => "",
                Some(true) => "kept",
                Some(false) => "**not kept**",
            };
            writeln!(out, "| {} | {} | {} | {verdict} |", line.measure, line.figure, line.limit)?;
        }
        Ok(self.lines.iter().all(|line| line.is_kept != Some(false)))
    }
}

/// The machine in a few words, as Linux tells them.
#[must_use]
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).map(|rest| rest.trim_end_matches("kB").trim());
    let gib = total.and_then(|kib| kib.parse::<f64>().ok()).map_or(0.0, |kib| kib / f64::from(1 << 20));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}, {gib:.0} GiB", name.trim_start_matches(['\t', ' ', ':']))
}
