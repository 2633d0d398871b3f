//! What a check found: one line, and the remedy where there is something to mend.

use std::time::Duration;

use serde_json::{Value, json};

/// How bad it is, from the least to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Not looked at, because what it stands on is wrong.
    Skipped,
    /// It may be wrong, or will be.
    Warning,
    /// It is wrong.
    Wrong,
}

impl State {
    /// The word in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }

    /// The word in a line: what is wrong stands out.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Wrong => "WRONG",
            other => other.as_str(),
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) state: State,
    pub(crate) line: String,
    pub(crate) remedy: Option<String>,
    /// Checks that need this one have nothing to look at.
    pub(crate) blocks: bool,
}

impl Finding {
    pub(crate) fn ok(line: impl Into<String>) -> Self {
        Self { state: State::Ok, line: line.into(), remedy: None, blocks: false }
    }

    pub(crate) fn skipped(line: impl Into<String>) -> Self {
        Self { state: State::Skipped, line: line.into(), remedy: None, blocks: false }
    }

    pub(crate) fn warning(line: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warning, line: line.into(), remedy: Some(remedy.into()), blocks: false }
    }

    pub(crate) fn wrong(line: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Wrong, line: line.into(), remedy: Some(remedy.into()), blocks: false }
    }

    /// The same, and checks that need this one are left out.
    pub(crate) fn blocking(self) -> Self {
        Self { blocks: true, ..self }
    }

    /// As the API of a script.
    pub(crate) fn json(&self, check: &str) -> Value {
        json!({"check": check, "state": self.state.as_str(), "finding": self.line, "remedy": self.remedy})
    }
}

/// What was found where something was, and `ok` where nothing was.
pub(crate) fn or_ok(findings: Vec<Finding>, ok: impl FnOnce() -> String) -> Vec<Finding> {
    if findings.is_empty() { vec![Finding::ok(ok())] } else { findings }
}

/// Says how many more there are than were named.
pub(crate) fn and_more(total: i64, named: usize) -> Option<String> {
    let more = total - i64::try_from(named).unwrap_or(i64::MAX);
    (more > 0).then(|| format!("and {more} more"))
}

/// A time span in the largest unit that says enough: `90 s`, `12 min`, `3 h`, `4 days`.
pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_stands_in_the_largest_unit_that_says_enough() {
        for (seconds, shown) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(State::Ok < State::Skipped && State::Skipped < State::Warning && State::Warning < State::Wrong);
        assert_eq!(and_more(7, 5).as_deref(), Some("and 2 more"));
        assert_eq!(and_more(5, 5), None);
    }
}
