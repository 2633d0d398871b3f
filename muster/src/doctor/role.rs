//! What the roles own and may do: those as which programs are connected now, and the one that is named as the gateway's.
//!
//! The role of this look itself is not judged: it is right that the one that runs `muster migrate` owns every table.

use store::doctor::{GATEWAY, GATEWAY_RIGHTS, Right, Role, Users};

use super::Patient;
use super::finding::{Finding, or_ok};

/// Tables that are named one by one.
const NAMED_MAX: usize = 5;

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let (mut findings, mut seen) = (Vec::new(), Vec::new());
    let named = patient.gateway_role;
    for Users { role, programs } in store::doctor::users(patient.store).await? {
        let who = format!("the role {role} (of {})", programs.join(", "));
        seen.push(format!("{role} (of {})", programs.join(", ")));
        let Some(role) = store::doctor::role(patient.store, Some(&role)).await? else { continue };
        if programs == [GATEWAY] && named != Some(role.name.as_str()) {
            findings.extend(rights(&role));
        } else if named != Some(role.name.as_str()) {
            findings.extend(limits(&role, &who));
        }
        findings.extend(powers(&role, &who));
    }
    if let Some(name) = named {
        let is_seen = seen.iter().any(|it| it.starts_with(&format!("{name} ")));
        match store::doctor::role(patient.store, Some(name)).await? {
            Some(gateway) => {
                let powers = (!is_seen).then(|| powers(&gateway, &format!("the role {name}")));
                findings.extend(powers.into_iter().flatten().chain(rights(&gateway)));
            }
            None => findings.push(Finding::wrong(
                format!("there is no role {name}"),
                format!("create role {name} login; then `psql -v role={name} -f deploy/roles/gateway.sql`"),
            )),
        }
        seen.extend((!is_seen).then(|| name.to_owned()));
    }
    Ok(or_ok(findings, || match seen.as_slice() {
        [] => "no program is connected now, so there is no role to judge".to_owned(),
        seen => format!("no more and no less than they need: {}", seen.join("; ")),
    }))
}

/// What no program needs at run time.
fn powers(role: &Role, who: &str) -> Vec<Finding> {
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
            format!("{who} {}", too_many.join(", ")),
            format!("run the programs as a role of their own; alter role {name} nosuperuser nocreaterole nobypassrls"),
        ));
    }
    if !role.owned.is_empty() {
        findings.push(Finding::warning(
            format!("{who} owns {}, and may change or drop them", few(&role.owned)),
            "let the role that runs `muster migrate` own the tables, and no program at run time",
        ));
    }
    findings
}

/// What a worker's or the console's role lacks.
fn limits(role: &Role, who: &str) -> Vec<Finding> {
    let name = &role.name;
    if !role.closed.is_empty() {
        let line = format!("{who} lacks usage on schema {}", few(&role.closed));
        let remedy = format!("`grant usage on schema muster, public to {name}`");
        return vec![Finding::wrong(line, remedy)];
    }
    if role.limited.is_empty() {
        return Vec::new();
    }
    vec![Finding::warning(
        format!("{who} may not read, add, change and delete rows of {}", few(&role.limited)),
        format!(
            "`grant select, insert, update, delete on all tables in schema muster to {name}`, after each `muster migrate`"
        ),
    )]
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
