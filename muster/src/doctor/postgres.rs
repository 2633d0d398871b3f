//! PostgreSQL: whether it can be reached, and whether it is one that Muster runs on.

use super::Patient;
use super::finding::{Finding, or_ok};

/// The oldest major version: what `nulls not distinct` and `on delete set null (column)` need.
const VERSION_MIN: i32 = 15;
/// With fewer free connections than this share of all, the next program that starts may find none.
const FREE_SHARE_MIN: f64 = 0.1;

/// Why there is no session: a pooler in between refuses what we ask for, or nobody lets us in.
fn refused(error: &store::Error) -> Finding {
    pooler(error).unwrap_or_else(|| {
        let remedy = "see that the server runs, that MUSTER_DATABASE_URL names its host, port, database, user and \
                      password, and that its pg_hba.conf admits this user from this machine";
        Finding::wrong(error.chain(), remedy).blocking()
    })
}

/// What PgBouncer says of the `options` by which each session asks for its limits.
pub(super) fn pooler(error: &store::Error) -> Option<Finding> {
    let said = error.chain();
    is_poolers(&said).then(|| {
        let line = format!("a pooler refuses the limits that every connection asks for: {said}");
        let remedy = "let MUSTER_DATABASE_URL name PostgreSQL itself; a pooler that is told to ignore the limits \
                      (PgBouncer: ignore_startup_parameters = options) drops them";
        Finding::wrong(line, remedy).blocking()
    })
}

/// Its versions say it in different words.
fn is_poolers(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("unsupported") && said.contains("startup parameter")
}

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let server = match store::doctor::server(patient.store).await {
        Ok(server) => server,
        Err(error) => return vec![refused(&error)],
    };
    let mut findings = Vec::new();
    if server.version_number < VERSION_MIN * 1_000 {
        let line = format!("PostgreSQL {}: Muster needs {VERSION_MIN} or newer", server.version);
        findings.push(Finding::wrong(line, "upgrade the server (pg_upgrade)"));
    }
    if server.is_standby {
        let line = "the server is a standby, which takes no writes";
        let remedy = "let MUSTER_DATABASE_URL name the primary, or promote this one (`pg_ctl promote`)";
        findings.push(Finding::wrong(line, remedy));
    }
    if !server.is_encrypted && !server.is_local {
        let line = "the connection leaves this machine and is not encrypted";
        let remedy = "switch TLS on at the server and add ?sslmode=verify-full to MUSTER_DATABASE_URL";
        findings.push(Finding::warning(line, remedy));
    }
    let (used, most) = (server.connections, server.connections_max);
    if (most - used) as f64 <= most as f64 * FREE_SHARE_MIN {
        findings.push(Finding::warning(
            format!("{used} of {most} connections are in use"),
            "raise max_connections, or lower MUSTER_DATABASE_CONNECTIONS_MAX of the programs",
        ));
    }
    let way = match (server.is_encrypted, server.is_local) {
        (true, _) => "encrypted",
        (false, true) => "local",
        (false, false) => "not encrypted",
    };
    or_ok(findings, || format!("PostgreSQL {}, {way}, {used} of {most} connections in use", server.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_poolers_say_of_our_limits_is_known_from_what_servers_say() {
        for said in [
            "ask the database: error returned from database: unsupported startup parameter: options",
            "ERROR: Unsupported startup parameter: options",
            "unsupported startup parameter in options: statement_timeout",
        ] {
            assert!(is_poolers(said), "{said}");
        }
        for said in ["password authentication failed for user \"u\"", "no answer", "unsupported frontend protocol 9.9"]
        {
            assert!(!is_poolers(said), "{said}");
        }
    }
}
