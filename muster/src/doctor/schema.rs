//! The database's migrations against this program's.

use super::Patient;
use super::finding::{Finding, or_ok};

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let state = store::migrate::state(patient.store).await?;
    let list = |versions: &[i64]| versions.iter().map(|it| format!("{it:04}")).collect::<Vec<_>>().join(", ");
    let mut findings = Vec::new();
    if state.applied.is_empty() {
        findings.push(Finding::wrong("the database has no schema of Muster", "run `muster migrate`").blocking());
    } else if !state.behind.is_empty() {
        let line = format!("the database lacks the migrations {}", list(&state.behind));
        findings.push(Finding::wrong(line, "run `muster migrate` of this version").blocking());
    }
    if !state.ahead.is_empty() {
        // a running version may be older than the schema for a while: each migration is safe beside the one before
        let line = format!("the database has migrations that this version does not know: {}", list(&state.ahead));
        findings.push(Finding::warning(line, "update this program and the others to the newer version"));
    }
    if !state.changed.is_empty() {
        let line =
            format!("the migrations {} were applied with another text than this version's", list(&state.changed));
        let remedy = "use the version that migrated this database; a released migration is never edited";
        findings.push(Finding::wrong(line, remedy));
    }
    Ok(or_ok(findings, || format!("all {} migrations are applied", state.known.len())))
}
