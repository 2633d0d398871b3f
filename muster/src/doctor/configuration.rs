//! What is configured: variables that no program reads, and limits that do not fit each other.

use std::collections::BTreeSet;

use super::Patient;
use super::finding::{Finding, or_ok};

/// Every variable that a program of Muster reads, made from their `--help`.
const EXAMPLE: &str = include_str!("../../../.env.example");
/// A name that differs from a known one by so many letters is a slip.
const SLIP_LETTERS_MAX: usize = 2;
/// RabbitMQ 3.10 loses a quorum queue whose node is killed within so long after its declaration.
const SETTLE_MS_MIN: u64 = 1_000;

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let set: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("MUSTER_"))
        .collect();
    let mut findings: Vec<Finding> = slips(&set)
        .into_iter()
        .map(|(name, meant)| {
            Finding::warning(format!("{name} is set, and no program reads it"), format!("{meant} is meant: rename it"))
        })
        .collect();
    findings.extend(limits(patient));
    or_ok(findings, || format!("{} variables of Muster are set", set.len()))
}

/// Names that are none, with the known one that each resembles. Others may be an operator's own.
fn slips(set: &[String]) -> Vec<(&str, &'static str)> {
    let known: BTreeSet<&'static str> = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("MUSTER_"))
        .collect();
    let unknown = set.iter().filter(|name| !known.contains(name.as_str()));
    unknown
        .filter_map(|name| {
            let near = known.iter().map(|known| (letters(name, known), *known)).min()?;
            (near.0 <= SLIP_LETTERS_MAX).then_some((name.as_str(), near.1))
        })
        .collect()
}

/// How many letters must be put in, left out or changed to make one of the other (Levenshtein).
fn letters(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut before = line;
        row[0] = line + 1;
        for (column, theirs) in other.iter().enumerate() {
            let changed = before + usize::from(letter != *theirs);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

fn limits(patient: &Patient<'_>) -> Vec<Finding> {
    let (database, broker) = (patient.database, patient.broker);
    let mut findings = Vec::new();
    if database.lock_timeout_ms >= database.statement_timeout_ms {
        findings.push(Finding::warning(
            format!(
                "a statement is ended after {} ms, before its wait for a lock is ({} ms): it is counted as an attempt",
                database.statement_timeout_ms, database.lock_timeout_ms
            ),
            "set MUSTER_DATABASE_LOCK_TIMEOUT_MS below MUSTER_DATABASE_STATEMENT_TIMEOUT_MS",
        ));
    }
    if broker.amqp_settle_ms < SETTLE_MS_MIN {
        findings.push(Finding::warning(
            format!(
                "a new queue is used {} ms after its declaration: RabbitMQ 3.10 loses it if its node dies in the first \
                 {SETTLE_MS_MIN} ms",
                broker.amqp_settle_ms
            ),
            format!("set MUSTER_AMQP_SETTLE_MS to {SETTLE_MS_MIN} at least"),
        ));
    }
    if broker.amqp_url.heartbeat_s() == Some(0) {
        findings.push(Finding::warning(
            "heartbeats are switched off: a broker that died silently is noticed only by a request that times out",
            "leave heartbeat=0 out of MUSTER_AMQP_URL",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_with_what_is_meant_and_an_operators_own_variable_is_not() {
        let set = |name: &str| vec![name.to_owned()];
        for (name, meant) in [
            ("MUSTER_DATABSE_URL", "MUSTER_DATABASE_URL"),
            ("MUSTER_AMPQ_URL", "MUSTER_AMQP_URL"),
            ("MUSTER_RETRY_BASE_S", "MUSTER_RETRY_BASE_MS"),
        ] {
            assert_eq!(slips(&set(name)), [(name, meant)]);
        }
        for name in [
            "MUSTER_DATABASE_URL",
            "MUSTER_AMQP_ADMIN_URL",
            "MUSTER_GATEWAY_ADMIN_URL",
            "MUSTER_WEBHOOK_URL",
            "MUSTER_TOKEN",
            "MUSTER_INTEGRATION",
            "MUSTER_TEST_SEED",
        ] {
            assert_eq!(slips(&set(name)), [], "{name}");
        }
    }

    #[test]
    fn letters_are_counted() {
        for (one, other, count) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(letters(one, other), count, "{one} {other}");
        }
    }
}
