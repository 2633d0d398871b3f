//! A pooler between the programs and PostgreSQL, told by what it breaks.

use std::time::Duration;

use super::finding::{Finding, or_ok};
use super::{Patient, postgres};

/// How long a notification may take; without a pooler it takes milliseconds.
const NOTIFY_MAX: Duration = Duration::from_secs(2);
const MEND: &str =
    "connect to PostgreSQL directly, or let the pooler work by sessions (PgBouncer: pool_mode = session)";

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let session = match store::doctor::session(patient.store, NOTIFY_MAX).await {
        Ok(session) => session,
        Err(error) => return postgres::pooler(&error).map(|it| vec![it]).ok_or_else(|| error.into()),
    };
    let mut findings = Vec::new();
    if !session.is_alone {
        findings.push(Finding::wrong(
            "a pooler gives one server process to several sessions: prepared statements and `muster migrate` fail",
            MEND,
        ));
    }
    if !session.keeps_limits {
        findings.push(Finding::wrong(
            "a pooler drops the limits that a session asks for: statements, locks and transactions may last for ever",
            MEND,
        ));
    }
    if !session.hears {
        findings.push(Finding::warning(
            format!(
                "a notification did not arrive within {} s: gateways hear of changed webhook secrets up to 10 s later; \
                 everything else works",
                NOTIFY_MAX.as_secs()
            ),
            MEND,
        ));
    }
    Ok(or_ok(findings, || "sessions are the server's own, LISTEN works".to_owned()))
}
