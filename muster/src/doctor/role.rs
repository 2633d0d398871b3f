//! What the roles own and may do: the session's, and that of a gateway with a role of its own.

use anyhow::Context as _;
use store::doctor::{GATEWAY_RIGHTS, Right, Role};

use super::Patient;
use super::finding::{Finding, or_ok};

/// Tables that are named one by one.
const NAMED_MAX: usize = 5;

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let own = store::doctor::role(patient.store, None).await?.context("a session has a role")?;
    let mut findings = powers(&own);
    let mut seen = own.name.clone();
    if let Some(name) = patient.gateway_role {
        match store::doctor::role(patient.store, Some(name)).await? {
            Some(gateway) => findings.extend(powers(&gateway).into_iter().chain(rights(&gateway))),
            None => findings.push(Finding::wrong(
                format!("there is no role {name}"),
                format!("create role {name} login; then `psql -v role={name} -f deploy/roles/gateway.sql`"),
            )),
        }
        seen = format!("{seen}, {name}");
    }
    Ok(or_ok(findings, || format!("no more and no less than they need: {seen}")))
}

/// What no program needs at run time.
fn powers(role: &Role) -> Vec<Finding> {
    let name = &role.name;
    let mut findings = Vec::new();
    let mut too_many = Vec::new();
    for (has, word) in [
        (role.is_superuser, "is a superuser"),
        (role.can_create_roles, "may make roles"),
        (role.bypasses_row_security, "bypasses row security"),
    ] {
        if has {
            too_many.push(word);
        }
    }
    if !too_many.is_empty() {
        findings.push(Finding::warning(
            format!("the role {name} {}", too_many.join(", ")),
            format!("run the programs as a role of their own; alter role {name} nosuperuser nocreaterole nobypassrls"),
        ));
    }
    if !role.owned.is_empty() {
        findings.push(Finding::warning(
            format!("the role {name} owns {}, and may change or drop them", few(&role.owned)),
            "let the role that runs `muster migrate` own the tables, and no program at run time",
        ));
    }
    findings
}

/// What the gateway's role lacks, and what it has beyond its needs.
fn rights(role: &Role) -> Vec<Finding> {
    let name = &role.name;
    let needs = store::doctor::needs(GATEWAY_RIGHTS).rights;
    let words = |rights: Vec<&Right>| -> Vec<String> {
        rights.iter().map(|(privilege, table)| format!("{} on {table}", privilege.to_lowercase())).collect()
    };
    let mut lacking: Vec<String> = role.closed.iter().map(|schema| format!("usage on schema {schema}")).collect();
    lacking.extend(words(needs.difference(&role.rights).collect()));
    let mut findings = Vec::new();
    if !lacking.is_empty() {
        findings.push(Finding::wrong(
            format!("the role {name} lacks {}", few(&lacking)),
            format!("`psql -v role={name} -f deploy/roles/gateway.sql`, after each `muster migrate`"),
        ));
    }
    // of a superuser and an owner it was said above
    let extra = words(role.rights.difference(&needs).collect());
    if !extra.is_empty() && !role.is_superuser && role.owned.is_empty() {
        findings.push(Finding::warning(
            format!("the role {name} may more than a gateway needs: {}", few(&extra)),
            format!(
                "`revoke all on all tables in schema muster, public from {name}`, then deploy/roles/gateway.sql again"
            ),
        ));
    }
    findings
}

/// The first of them, and how many more there are.
fn few(names: &[String]) -> String {
    let mut shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX {
        shown.push_str(&format!(" and {} more", names.len() - NAMED_MAX));
    }
    shown
}
