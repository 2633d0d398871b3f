//! Roles: what one may, and what the programs need.

use std::collections::BTreeSet;

use contract::topology::Worker;

use crate::{Error, Store};

/// What ingest-gateway's role needs: the very file that makes it.
pub const GATEWAY_RIGHTS: &str = include_str!("../../../../deploy/roles/gateway.sql");

/// A right on a table: `SELECT` on `muster.hook`.
pub type Right = (String, String);

/// A role and its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// It may everything.
    pub is_superuser: bool,
    /// It may make roles, and so give itself rights.
    pub can_create_roles: bool,
    /// Row security does not hold for it.
    pub bypasses_row_security: bool,
    /// Tables of Muster and of AlgaPSA that it owns, itself or as a member of their owner; of a superuser none.
    pub owned: Vec<String>,
    /// The schemas among `muster` and `public` that it may not use.
    pub closed: Vec<String>,
    /// Tables of Muster on which it lacks one of the rights to read, add, change and delete rows.
    pub limited: Vec<String>,
    /// Its rights on tables.
    pub rights: BTreeSet<Right>,
}

/// What ingest-gateway's sessions are called.
pub const GATEWAY: &str = "ingest-gateway";

/// A role as which programs are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// Its name.
    pub role: String,
    /// The programs: `alert-worker`.
    pub programs: Vec<String>,
}

/// The roles as which programs are connected to the database now.
///
/// # Errors
/// What the database said.
pub async fn users(store: &Store) -> Result<Vec<Users>, Error> {
    let names: Vec<String> =
        [GATEWAY, "console"].into_iter().chain(Worker::ALL.iter().map(|it| it.as_str())).map(str::to_owned).collect();
    let rows = sqlx::query_file_as!(Users, "sql/doctor/programs.sql", &names);
    store.run("look who is connected", rows.fetch_all(store.pool())).await
}

/// A role; `None` in place of a name: the session's own. `None`: there is no such role.
///
/// # Errors
/// What the database said.
pub async fn role(store: &Store, name: Option<&str>) -> Result<Option<Role>, Error> {
    let row = sqlx::query_file!("sql/doctor/role.sql", name);
    let Some(row) = store.run("look at a role", row.fetch_optional(store.pool())).await? else { return Ok(None) };
    let rights = sqlx::query_file!("sql/doctor/rights.sql", row.oid);
    let rights = store.run("look at a role's rights", rights.fetch_all(store.pool())).await?;
    Ok(Some(Role {
        name: row.name,
        is_superuser: row.is_superuser,
        can_create_roles: row.can_create_roles,
        bypasses_row_security: row.bypasses_row_security,
        owned: row.owned,
        closed: row.closed,
        limited: row.limited,
        rights: rights.into_iter().map(|it| (it.privilege, it.name)).collect(),
    }))
}

/// What a role needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Rights on tables.
    pub rights: BTreeSet<Right>,
}

/// What a file of `deploy/roles` grants. Pure; the file is plain: one `grant … on … to :role;` a statement.
#[must_use]
pub fn needs(sql: &str) -> Needs {
    let text: String = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join(" ");
    let mut needs = Needs::default();
    for statement in text.split(';') {
        let Some(rest) = statement.trim().strip_prefix("grant ") else { continue };
        let Some((privileges, rest)) = rest.split_once(" on ") else { continue };
        let Some((tables, _)) = rest.split_once(" to ") else { continue };
        if tables.trim_start().starts_with("schema ") {
            continue;
        }
        for table in tables.split(',').map(str::trim) {
            let privileges = privileges.split(',').map(|privilege| privilege.trim().to_uppercase());
            needs.rights.extend(privileges.map(|privilege| (privilege, table.to_owned())));
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;

    #[test]
    fn the_gateways_file_is_understood_whole() {
        let needs = needs(GATEWAY_RIGHTS).rights;
        let has = |privilege: &str, table: &str| needs.contains(&(privilege.to_owned(), table.to_owned()));
        assert!(has("SELECT", "muster.hook") && has("UPDATE", "muster.schedule") && has("INSERT", "muster.outbox"));
        assert!(
            needs.iter().all(|(_, table)| table.starts_with("muster.") || table.starts_with("public.")),
            "{needs:?}"
        );
        assert!(!has("USAGE", "muster"), "schemas are looked at by themselves");
    }

    #[tokio::test]
    async fn every_right_that_the_file_grants_is_one_on_a_table_that_exists() {
        let database = TestDatabase::create().await;
        let own = role(&database.store(), None).await.unwrap().expect("a session has a role");
        // the tests' role may everything, so what it lacks is not there
        let absent: Vec<Right> = needs(GATEWAY_RIGHTS).rights.difference(&own.rights).cloned().collect();
        assert_eq!(absent, []);
    }
}
