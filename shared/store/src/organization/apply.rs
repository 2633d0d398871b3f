//! A list of Tactical's clients and sites, brought into the mappings.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Applied, Organization, Outcome};
use crate::alert::bound;
use crate::error::Attempt;
use crate::lock::{self, Left};
use crate::run::{self, PartFence, Step};
use crate::{Error, Store};

/// Names are cut to what the column holds.
const NAME_CHARS_MAX: usize = 255;
/// Sites that a mapping's metadata names; all of them stand in `muster.site`.
const SITES_MAX: usize = 200;

/// Writes a complete list of clients: new ones assigned to nobody and switched on, renames, sites. A client that is not
/// listed any more keeps its mapping and is marked. An empty list is no list: it marks nothing.
///
/// # Errors
/// What the database said.
pub async fn apply_clients(
    store: &Store,
    fence: &PartFence,
    integration_id: Uuid,
    organizations: &[Organization],
) -> Result<Outcome, Error> {
    let listed: BTreeMap<String, Organization> =
        organizations.iter().map(|organization| (organization.id.to_string(), bounded(organization))).collect();
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to write clients")?;
        let tenant = fence.run.tenant;
        let Some(locked) = lock::connection(&mut transaction, tenant, integration_id).await? else {
            return Ok(Outcome::Left(Left::NoSuchConnection));
        };
        if !run::hold_batch(&mut transaction, fence).await? {
            return Ok(Outcome::Fenced);
        }
        if let Some(left) = locked.left() {
            return Ok(Outcome::Left(left));
        }
        let applied = write(&mut transaction, tenant, integration_id, &listed).await?;
        let step = Step {
            seen: listed.len(),
            created: applied.created,
            updated: applied.updated,
            unchanged: applied.unchanged,
            missing: applied.vanished,
            ..Step::default()
        };
        run::advance(&mut transaction, fence, &step, None).await?;
        transaction.commit().await.attempt("commit clients")?;
        Ok(Outcome::Applied(applied))
    };
    store.within("write clients", store.work_ends(), work).await
}

fn bounded(organization: &Organization) -> Organization {
    let mut organization = organization.clone();
    bound::cut(&mut organization.name, NAME_CHARS_MAX);
    for site in &mut organization.sites {
        bound::cut(&mut site.name, NAME_CHARS_MAX);
    }
    organization
}

/// What of the metadata is ours; AlgaPSA's own keys stay.
fn metadata(organization: &Organization) -> Value {
    let sites: Vec<_> = organization.sites.iter().take(SITES_MAX).collect();
    json!({ "agent_count": organization.agent_count, "site_count": organization.sites.len(), "sites": sites })
}

pub(super) async fn write(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    listed: &BTreeMap<String, Organization>,
) -> Result<Applied, Error> {
    let known = known(connection, tenant, integration_id).await?;
    let mut applied = Applied::default();
    let mut changed: Vec<(&String, &Organization)> = Vec::new();
    for (id, organization) in listed {
        match known.get(id) {
            None => applied.created += 1,
            Some(known) if known.is_as(organization) => {
                applied.unchanged += 1;
                continue;
            }
            Some(known) => {
                applied.updated += 1;
                applied.renamed += usize::from(known.name.as_deref() != Some(&*organization.name));
            }
        }
        changed.push((id, organization));
    }
    upsert(connection, tenant, integration_id, &changed).await?;
    let vanished: Vec<String> = (known.iter())
        .filter(|(id, known)| !listed.is_empty() && !listed.contains_key(*id) && !known.is_vanished())
        .map(|(id, _)| id.clone())
        .collect();
    applied.vanished = vanished.len();
    mark_vanished(connection, tenant, integration_id, &vanished).await?;
    write_sites(connection, tenant, integration_id, listed).await?;
    Ok(applied)
}

struct Known {
    name: Option<String>,
    metadata: Value,
}

impl Known {
    fn is_vanished(&self) -> bool {
        self.metadata.get("vanished_at").is_some()
    }

    fn is_as(&self, organization: &Organization) -> bool {
        let told = metadata(organization);
        let is_same = told.as_object().into_iter().flatten().all(|(key, value)| self.metadata.get(key) == Some(value));
        is_same && !self.is_vanished() && self.name.as_deref() == Some(&*organization.name)
    }
}

async fn known(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<HashMap<String, Known>, Error> {
    let rows = sqlx::query!(
        r#"select external_organization_id, external_organization_name, coalesce(metadata, '{}') as "metadata!"
           from rmm_organization_mappings where tenant = $1 and integration_id = $2"#,
        tenant,
        integration_id
    );
    let rows = rows.fetch_all(connection).await.attempt("read the organisation mappings")?;
    let known = rows.into_iter().map(|row| {
        (row.external_organization_id, Known { name: row.external_organization_name, metadata: row.metadata })
    });
    Ok(known.collect())
}

async fn upsert(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    changed: &[(&String, &Organization)],
) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = changed.iter().map(|(id, _)| id.as_str()).collect();
    let names: Vec<&str> = changed.iter().map(|(_, organization)| organization.name.as_str()).collect();
    let metadata: Vec<Value> = changed.iter().map(|(_, organization)| metadata(organization)).collect();
    sqlx::query_file!("sql/organization/upsert.sql", tenant, integration_id, &ids as _, &names as _, &metadata)
        .execute(connection)
        .await
        .attempt(format!("write {} organisation mappings", changed.len()))
        .map(drop)
}

async fn mark_vanished(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    vanished: &[String],
) -> Result<(), Error> {
    if vanished.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update rmm_organization_mappings
         set metadata = coalesce(metadata, '{}') || jsonb_build_object('vanished_at', now()), updated_at = now()
         where tenant = $1 and integration_id = $2 and external_organization_id = any ($3)",
        tenant,
        integration_id,
        vanished
    )
    .execute(connection)
    .await
    .attempt(format!("mark {} organisations as vanished", vanished.len()))
    .map(drop)
}

async fn write_sites(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    listed: &BTreeMap<String, Organization>,
) -> Result<(), Error> {
    let sites: BTreeMap<String, (&str, &str)> = (listed.iter())
        .flat_map(|(client, organization)| organization.sites.iter().map(move |site| (client, site)))
        .map(|(client, site)| (site.id.to_string(), (client.as_str(), site.name.as_str())))
        .collect();
    if sites.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = sites.keys().map(String::as_str).collect();
    let clients: Vec<&str> = sites.values().map(|site| site.0).collect();
    let names: Vec<&str> = sites.values().map(|site| site.1).collect();
    let what = || format!("write {} sites", sites.len());
    sqlx::query!(
        "delete from muster.site where tenant = $1 and integration_id = $2 and site_id <> all ($3)",
        tenant,
        integration_id,
        &ids as _
    )
    .execute(&mut *connection)
    .await
    .attempt(what())?;
    sqlx::query!(
        "insert into muster.site as s (tenant, integration_id, site_id, external_client_id, name)
         select $1, $2, n.id, n.client, n.name from unnest($3::text[], $4::text[], $5::text[]) n (id, client, name)
         on conflict (tenant, integration_id, site_id) do update
         set external_client_id = excluded.external_client_id, name = excluded.name
         where (s.external_client_id, s.name) is distinct from (excluded.external_client_id, excluded.name)",
        tenant,
        integration_id,
        &ids as _,
        &clients as _,
        &names as _
    )
    .execute(connection)
    .await
    .attempt(what())
    .map(drop)
}

/// Tactical's number of the client that a device belongs to, where its answer has only the site's number, or the client's
/// name: what the last list of clients said.
///
/// # Errors
/// What the database said.
pub async fn find_client(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    site_id: Option<i64>,
    client_name: Option<&str>,
) -> Result<Option<String>, Error> {
    let site_id = site_id.map(|id| id.to_string());
    let found =
        sqlx::query_file_scalar!("sql/organization/find_client.sql", tenant, integration_id, site_id, client_name);
    let found = store.run("look for a device's client", found.fetch_optional(store.pool())).await?;
    Ok(found.flatten())
}
