//! The devices that are asked one by one, in the order of their agents' ids.

use uuid::Uuid;

use crate::{Error, Store};

/// The next agents behind `after` whose devices are imported and may have any software, at most `agents_max`. Linux and macOS
/// agents never report any; those that are gone are not asked.
///
/// # Errors
/// What the database said.
pub async fn next_agents(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    after: Option<&str>,
    agents_max: u16,
) -> Result<Vec<String>, Error> {
    let agents =
        sqlx::query_file_scalar!("sql/software/next_agents.sql", tenant, integration_id, after, i64::from(agents_max));
    store.run("read the next agents of a walk", agents.fetch_all(store.pool())).await
}

/// How many agents [`next_agents`] finds in all.
///
/// # Errors
/// What the database said.
pub async fn count_agents(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<u64, Error> {
    let count = sqlx::query_file_scalar!("sql/software/count_agents.sql", tenant, integration_id);
    let count = store.run("count the agents of a walk", count.fetch_one(store.pool())).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Whether any device of a connection that is not gone has software.
///
/// # Errors
/// What the database said.
pub async fn has_reported(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (
               select from muster.software_report r
               join muster.agent g on g.tenant = r.tenant and g.asset_id = r.asset_id
               where r.tenant = $1 and g.integration_id = $2 and g.missing_since is null and r.programs > 0
           ) as "found!""#,
        tenant,
        integration_id
    );
    store.run("look for devices with software", found.fetch_one(store.pool())).await
}
