//! What the gateways tell of their spools.

use std::time::Duration;

use chrono::{DateTime, Utc};
use store::spool::Seen;

use super::Patient;
use super::finding::{Finding, or_ok, span};

/// A gateway tells of its spool every ten seconds; who has missed four of them is silent, as the console has it.
const SILENT_AFTER: Duration = Duration::from_secs(40);
/// So long a message may wait for the broker before it is told, as the alert of docs/RUNBOOK.md.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Spools that are named one by one.
const SPOOLS_MAX: usize = 10;

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let spools = store::spool::list(patient.store).await?;
    let mut ill = spools.iter().map(told).filter(|findings| !findings.is_empty());
    let mut findings: Vec<Finding> = ill.by_ref().take(SPOOLS_MAX).flatten().collect();
    let more = ill.count();
    if more > 0 {
        findings.push(Finding::warning(format!("and {more} further spools"), "`muster spool list`"));
    }
    let records: i64 = spools.iter().map(|it| it.records).sum();
    Ok(or_ok(findings, || format!("{} gateways have told of theirs, which hold {records} messages", spools.len())))
}

fn told(it: &Seen) -> Vec<Finding> {
    let place = format!("{}:{}", it.host, it.folder);
    let since = |at: DateTime<Utc>| (it.now - at).to_std().unwrap_or_default();
    let held = it.records + it.set_aside;
    let silent = since(it.seen_at);
    if silent >= SILENT_AFTER {
        // a gateway that was stopped, and had emptied its spool before
        return (held > 0)
            .then(|| {
                Finding::wrong(
                    format!("{place} holds {held} messages, and its gateway was heard of {} ago", span(silent)),
                    format!("start a gateway on that folder, or there `muster spool drain --dir {}`", it.folder),
                )
            })
            .into_iter()
            .collect();
    }
    let mut findings = Vec::new();
    if let Some(refusal) = &it.refusal {
        findings.push(Finding::wrong(
            format!("{place} takes no more ({refusal}); while the broker is away, too, webhooks are refused"),
            "bring RabbitMQ back, or make room: a larger --spool-bytes-max, a larger disk",
        ));
    }
    if let Some(oldest) = it.oldest_at.map(since).filter(|oldest| *oldest > WAIT_MAX) {
        findings.push(Finding::warning(
            format!("{place} holds {} messages, the oldest for {}", it.records, span(oldest)),
            "look at RabbitMQ: `muster doctor --only broker`; nothing is lost, the spool empties by itself",
        ));
    }
    if it.set_aside > 0 {
        findings.push(Finding::warning(
            format!("{place} holds {} messages that the broker refused five times", it.set_aside),
            format!(
                "stop that gateway, mend the cause, then there `muster spool drain --dir {} --set-aside`",
                it.folder
            ),
        ));
    }
    findings
}
