//! Another server behind the same connection: noticed, held, decided by a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Organization, apply};
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::lock;
use crate::{Error, Store};

/// Agents of each client that are compared; enough that a few that were deleted do not matter.
const AGENTS_PER_CLIENT: i64 = 20;

/// What is known of the server behind a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The URL that the connection has now.
    pub instance_url: Option<String>,
    /// The URL that the mappings are known to belong to; `None`: none is yet.
    pub confirmed_url: Option<String>,
    /// Held already.
    pub is_held: bool,
    /// Clients that were listed last, by number, with their names.
    pub clients: BTreeMap<String, String>,
    /// Those of them that a person has assigned.
    pub mapped: Vec<String>,
    /// Some agents of each, by the client's number.
    pub agents: BTreeMap<String, Vec<String>>,
}

/// Both sides of a held connection, for a person to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why it was held, a sentence.
    pub reason: String,
    /// The URL that the mappings belong to.
    pub old_url: Option<String>,
    /// The URL that answered.
    pub new_url: Option<String>,
    /// The clients that are known.
    pub old: Vec<HeldClient>,
    /// The clients that were listed.
    pub new: Vec<HeldClient>,
}

/// A client on one of the sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldClient {
    /// Tactical's number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many agents it has, where that is known.
    pub agent_count: Option<i64>,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is the same server: the mappings are right.
    Same,
    /// It is another one: every mapping is to be assigned anew.
    Other,
}

/// Reads what is known. `None`: there is no such connection.
///
/// # Errors
/// What the database said.
pub async fn look(store: &Store, tenant: Uuid, integration_id: Uuid) -> Result<Option<Look>, Error> {
    let work = async {
        let mut connection = store.pool().acquire().await.attempt("take a connection to look")?;
        let row = sqlx::query!(
            r#"select i.instance_url, c.confirmed_url as "confirmed_url?", c.held_at is not null as "is_held!"
               from rmm_integrations i
               left join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
               where i.tenant = $1 and i.integration_id = $2"#,
            tenant,
            integration_id
        );
        let row = row.fetch_optional(&mut *connection).await.attempt("read the connection's url")?;
        let Some(row) = row else { return Ok(None) };
        let mut look = Look {
            instance_url: row.instance_url,
            confirmed_url: row.confirmed_url,
            is_held: row.is_held,
            ..Look::default()
        };
        read_clients(&mut connection, tenant, integration_id, &mut look).await?;
        Ok(Some(look))
    };
    store.within("look at what is known of a server", store.work_ends(), work).await
}

async fn read_clients(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    look: &mut Look,
) -> Result<(), Error> {
    let rows = sqlx::query!(
        r#"select external_organization_id as id, coalesce(external_organization_name, '') as "name!",
                  client_id is not null as "is_mapped!"
           from rmm_organization_mappings
           where tenant = $1 and integration_id = $2 and not coalesce(metadata, '{}') ? 'vanished_at'
           order by id"#,
        tenant,
        integration_id
    );
    for row in rows.fetch_all(&mut *connection).await.attempt("read the organisation mappings")? {
        if row.is_mapped {
            look.mapped.push(row.id.clone());
        }
        look.clients.insert(row.id, row.name);
    }
    let agents = sqlx::query_file!("sql/organization/some_agents.sql", tenant, integration_id, AGENTS_PER_CLIENT);
    for row in agents.fetch_all(connection).await.attempt("read some agents of each client")? {
        look.agents.entry(row.client).or_default().push(row.agent_id);
    }
    Ok(())
}

/// Holds a connection: from the next batch on nothing is written until [`confirm`]. `false`: it was held already, or there
/// is no such connection.
///
/// # Errors
/// What the database said.
pub async fn hold(store: &Store, tenant: Uuid, integration_id: Uuid, held: &Held) -> Result<bool, Error> {
    let mut held = held.clone();
    held.reason = held.reason.replace('\0', "\u{FFFD}");
    for client in held.old.iter_mut().chain(&mut held.new) {
        client.name = client.name.replace('\0', "\u{FFFD}");
    }
    let held = serde_json::to_value(&held).expect("texts and numbers are JSON");
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to hold a connection")?;
        if lock::connection(&mut transaction, tenant, integration_id).await?.is_none() {
            return Ok(false);
        }
        let done = sqlx::query!(
            "update muster.connection set held_at = now(), held = $3
             where tenant = $1 and integration_id = $2 and held_at is null",
            tenant,
            integration_id,
            held
        );
        let done = done.execute(&mut *transaction).await.attempt(format!("hold connection {integration_id}"))?;
        transaction.commit().await.attempt("commit a hold")?;
        Ok(done.rows_affected() == 1)
    };
    store.within("hold a connection", store.work_ends(), work).await
}

/// Ends a hold as a person decided, and takes the connection's URL as the mappings' own. `false`: it is not held.
///
/// After [`Decision::Other`] no mapping is assigned any more, and the clients are those of the new server; assets stay with
/// the clients that they have.
///
/// # Errors
/// What the database said.
pub async fn confirm(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    decision: Decision,
    entry: &Entry,
) -> Result<bool, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to confirm a connection")?;
        if !lock::connection(&mut transaction, tenant, integration_id).await?.is_some_and(|locked| locked.is_held) {
            return Ok(false);
        }
        if decision == Decision::Other {
            forget(&mut transaction, tenant, integration_id).await?;
        }
        sqlx::query!(
            "update muster.connection c set held_at = null, held = null, confirmed_url = i.instance_url
             from rmm_integrations i
             where c.tenant = $1 and c.integration_id = $2 and i.tenant = c.tenant
               and i.integration_id = c.integration_id",
            tenant,
            integration_id
        )
        .execute(&mut *transaction)
        .await
        .attempt(format!("confirm connection {integration_id}"))?;
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await.attempt("commit a confirmation")?;
        Ok(true)
    };
    store.within("confirm a connection", store.work_ends(), work).await
}

/// The numbers of the old server mean nothing any more.
async fn forget(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    let held = sqlx::query_scalar!(
        r#"select held as "held!" from muster.connection where tenant = $1 and integration_id = $2"#,
        tenant,
        integration_id
    );
    let held = held.fetch_one(&mut *connection).await.attempt("read what is held")?;
    let held: Held = serde_json::from_value(held).unwrap_or_default();
    sqlx::query!(
        "update rmm_organization_mappings set client_id = null, updated_at = now()
         where tenant = $1 and integration_id = $2 and client_id is not null",
        tenant,
        integration_id
    )
    .execute(&mut *connection)
    .await
    .attempt("forget the mappings of another server")?;
    sqlx::query!("delete from muster.site where tenant = $1 and integration_id = $2", tenant, integration_id)
        .execute(&mut *connection)
        .await
        .attempt("forget the sites of another server")?;
    let listed: BTreeMap<String, Organization> = (held.new.into_iter())
        .filter_map(|client| {
            let organization = Organization {
                id: client.id.parse().ok()?,
                name: client.name,
                agent_count: client.agent_count,
                sites: Vec::new(),
            };
            Some((client.id, organization))
        })
        .collect();
    apply::write(connection, tenant, integration_id, &listed).await.map(drop)
}
