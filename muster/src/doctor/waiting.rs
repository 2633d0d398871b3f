//! What waits longer than it should: schedules, the outbox, parked and held messages.

use std::time::Duration;

use super::Patient;
use super::finding::{Finding, and_more, or_ok, span};

/// Messages leave the outbox within milliseconds, and within 2 s where the relay that wrote them has died.
const OUTBOX_MAX: Duration = Duration::from_secs(60);
/// Pauses that are named one by one.
const PAUSES_MAX: usize = 10;
/// The cause of a pause that no person has made.
const BY_ITSELF: &str = "parks";

pub(super) async fn schedules(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let now = patient.store.database_now().await?;
    let late = store::doctor::late(patient.store).await?;
    let mut findings: Vec<Finding> = Vec::new();
    let total = late.first().map_or(0, |it| it.total);
    let mut names: Vec<String> = late
        .iter()
        .map(|it| {
            let by = (now - it.due_at).to_std().unwrap_or_default();
            format!("{} of tenant {} by {}", it.kind, it.tenant, span(by))
        })
        .collect();
    names.extend(and_more(total, late.len()));
    if total > 0 {
        findings.push(Finding::wrong(
            format!("{total} schedules are late by more than two steps: {}", names.join("; ")),
            "see that an ingest-gateway runs and reaches this database: gateways start what is due",
        ));
    }
    let slow = store::doctor::slow(patient.store).await?;
    for it in &slow {
        let since = (now - it.attention_at).to_std().unwrap_or_default();
        findings.push(Finding::wrong(
            format!("{} of tenant {} run once an hour only, since {}: {}", it.kind, it.tenant, span(since), it.cause),
            format!("mend the cause, then `muster test --tenant {}`, which looks at once", it.tenant),
        ));
    }
    if let Some(more) = and_more(slow.first().map_or(0, |it| it.total), slow.len()) {
        let line = format!("{more} schedules run once an hour only");
        findings.push(Finding::wrong(line, "`muster schedule list` of each tenant tells why"));
    }
    Ok(or_ok(findings, || "none is late, none is slowed down".to_owned()))
}

pub(super) async fn outbox(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let outbox = store::doctor::outbox(patient.store).await?;
    let findings = outbox.oldest.filter(|oldest| *oldest > OUTBOX_MAX).map(|oldest| {
        Finding::wrong(
            format!("{} messages wait to be published, the oldest for {}", outbox.rows, span(oldest)),
            "see that a worker runs and is connected to the broker: every worker publishes what the outbox holds",
        )
    });
    Ok(or_ok(findings.into_iter().collect(), || format!("{} messages wait to be published", outbox.rows)))
}

pub(super) async fn parked(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let now = patient.store.database_now().await?;
    let counts = store::doctor::parked(patient.store).await?;
    let findings = counts.iter().filter(|it| it.state == "parked").map(|it| {
        let ago = (now - it.last_at).to_std().unwrap_or_default();
        let line = format!("{} messages are parked as {}, the last one {} ago", it.count, it.class, span(ago));
        let remedy = format!("`muster park list --all-tenants --class {}`; docs/PARKED.md says what to do", it.class);
        Finding::warning(line, remedy)
    });
    Ok(or_ok(findings.collect(), || "no message waits for a person".to_owned()))
}

pub(super) async fn pauses(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let now = patient.store.database_now().await?;
    let pauses = store::pause::list(patient.store, None).await?;
    let findings = pauses.iter().take(PAUSES_MAX).map(|it| {
        let tenant = it.tenant.map(|tenant| format!("--tenant {tenant}"));
        let scope =
            [Some(tenant.unwrap_or("--all-tenants".to_owned())), it.kind.as_ref().map(|it| format!("--kind {it}"))];
        let scope = scope.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let since = span((now - it.paused_at).to_std().unwrap_or_default());
        let resume = format!("`muster resume {scope}`");
        match it.cause.as_str() {
            BY_ITSELF => Finding::wrong(
                format!(
                    "stopped by itself for {since}, since too many were parked: {scope}; {} messages wait",
                    it.held
                ),
                format!("mend what `muster park list --all-tenants` tells, then {resume}"),
            ),
            _ => Finding::warning(
                format!("paused for {since} by {}: {scope}; {} messages wait", it.paused_by, it.held),
                resume,
            ),
        }
    });
    let mut findings: Vec<Finding> = findings.collect();
    if let Some(more) = and_more(i64::try_from(pauses.len()).unwrap_or(i64::MAX), findings.len()) {
        findings.push(Finding::warning(format!("{more} pauses"), "`muster pauses --all-tenants`"));
    }
    Ok(or_ok(findings, || "nothing is paused".to_owned()))
}
