//! Another server behind the same connection: noticed, held, decided by a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Organization, apply};
use crate::audit::{self, Entry};
use crate::device::{self, Fate};
use crate::error::Attempt;
use crate::{Error, Store, alert, lock, origin, run};

/// Agents of each client that are compared; enough that a few that were deleted do not matter.
const AGENTS_PER_CLIENT: i64 = 20;
/// Why the open runs of a connection fail behind which a person has confirmed another server.
const SERVER_REPLACED: &str = "another server was confirmed behind the connection: sync again";

/// What is known of the server behind a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The URL that the mappings are known to belong to; `None`: none is yet.
    pub confirmed_url: Option<String>,
    /// Held already.
    pub is_held: bool,
    /// The URL that it was held for.
    pub held_url: Option<String>,
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

impl Held {
    /// As it is stored; jsonb takes no NUL.
    fn to_json(&self) -> serde_json::Value {
        let mut held = self.clone();
        held.reason = held.reason.replace('\0', "\u{FFFD}");
        for client in held.old.iter_mut().chain(&mut held.new) {
            client.name = client.name.replace('\0', "\u{FFFD}");
        }
        serde_json::to_value(&held).expect("texts and numbers are JSON")
    }
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
            r#"select c.confirmed_url as "confirmed_url?", c.held_at is not null as "is_held!",
                      c.held ->> 'new_url' as held_url
               from rmm_integrations i
               left join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
               where i.tenant = $1 and i.integration_id = $2"#,
            tenant,
            integration_id
        );
        let row = row.fetch_optional(&mut *connection).await.attempt("read the connection's url")?;
        let Some(row) = row else { return Ok(None) };
        let mut look =
            Look { confirmed_url: row.confirmed_url, is_held: row.is_held, held_url: row.held_url, ..Look::default() };
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

/// Holds a connection: from the next batch on nothing is written until [`confirm`]. `false`: it was held already for
/// that URL, is inactive, or there is no such connection.
///
/// # Errors
/// What the database said.
pub async fn hold(store: &Store, tenant: Uuid, integration_id: Uuid, held: &Held) -> Result<bool, Error> {
    let held = held.to_json();
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to hold a connection")?;
        // a job may come here when the connection was switched off long ago: its row is not to be made for that
        if !lock::connection(&mut transaction, tenant, integration_id).await?.is_some_and(|locked| locked.is_active) {
            return Ok(false);
        }
        let done = sqlx::query!(
            "update muster.connection set held_at = now(), held = $3
             where tenant = $1 and integration_id = $2
               and (held_at is null or held ->> 'new_url' is distinct from $3::jsonb ->> 'new_url')",
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

/// Shows both sides of a held connection as they are now. `false`: it shows them so, or is not held (any more) for that URL:
/// a person's decision that came meanwhile stands.
///
/// # Errors
/// What the database said.
pub async fn renew_hold(store: &Store, tenant: Uuid, integration_id: Uuid, held: &Held) -> Result<bool, Error> {
    let held = held.to_json();
    let done = sqlx::query!(
        "update muster.connection set held = $3
         where tenant = $1 and integration_id = $2 and held_at is not null and held is distinct from $3::jsonb
           and held ->> 'new_url' is not distinct from $3::jsonb ->> 'new_url'",
        tenant,
        integration_id,
        held
    );
    let what = format!("show what connection {integration_id} is held for");
    Ok(store.run(what, done.execute(store.pool())).await?.rows_affected() == 1)
}

/// Says that the server behind a URL is the one that the mappings belong to, as a look at its clients and agents has told.
/// Ends a hold that was for another URL. `false`: the connection has another URL by now, is held for this one, or inactive.
///
/// # Errors
/// What the database said.
pub async fn recognise(store: &Store, tenant: Uuid, integration_id: Uuid, instance_url: &str) -> Result<bool, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to recognise a server")?;
        // a job may come here when the connection was switched off long ago: its row is not to be made for that
        if !lock::connection(&mut transaction, tenant, integration_id).await?.is_some_and(|locked| locked.is_active) {
            return Ok(false);
        }
        let done = sqlx::query!(
            "update muster.connection c set confirmed_url = $3, held_at = null, held = null
             from rmm_integrations i
             where c.tenant = $1 and c.integration_id = $2 and i.tenant = c.tenant
               and i.integration_id = c.integration_id and i.instance_url = $3
               and (c.held_at is null or c.held ->> 'new_url' is distinct from $3)",
            tenant,
            integration_id,
            instance_url
        );
        let done = done.execute(&mut *transaction).await.attempt(format!("recognise connection {integration_id}"))?;
        transaction.commit().await.attempt("commit what was recognised")?;
        Ok(done.rows_affected() == 1)
    };
    store.within("recognise a server", store.work_ends(), work).await
}

/// Ends a hold as a person decided, and takes the connection's URL as the mappings' own. `seen_url` is the new URL of the
/// hold that the person looked at. `false`: it is not held.
///
/// After [`Decision::Other`] no mapping is assigned any more, and the clients are those of the new server; assets stay with
/// the clients that they have. The old server's alerts are over, and their numbers free.
///
/// # Errors
/// [`Error::Refused`] where it is held for another URL than the person saw, or has another one by now; otherwise what the
/// database said.
pub async fn confirm(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    decision: Decision,
    seen_url: Option<&str>,
    entry: &Entry,
) -> Result<bool, Error> {
    if decision == Decision::Other {
        rename_alerts(store, tenant, integration_id, seen_url).await?;
    }
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to confirm a connection")?;
        let locked = lock::connection(&mut transaction, tenant, integration_id).await?;
        let Some(locked) = locked.filter(|locked| locked.is_held) else { return Ok(false) };
        check_seen(&mut transaction, tenant, integration_id, seen_url).await?;
        if decision == Decision::Other {
            // what they have read, or are about to, is of a server that was not decided about
            run::fail_open(&mut transaction, tenant, integration_id, SERVER_REPLACED).await?;
            alert::end_replaced(&mut transaction, tenant, integration_id, locked.server_epoch).await?;
            forget(&mut transaction, tenant, integration_id).await?;
        }
        sqlx::query!(
            "update muster.connection c
             set held_at = null, held = null, confirmed_url = i.instance_url, server_epoch = server_epoch + $3::int
             from rmm_integrations i
             where c.tenant = $1 and c.integration_id = $2 and i.tenant = c.tenant
               and i.integration_id = c.integration_id",
            tenant,
            integration_id,
            i32::from(decision == Decision::Other)
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

/// Renames the alerts of the old server that are over, which may be more than one transaction has time for, while the
/// connection is held for that URL.
async fn rename_alerts(store: &Store, tenant: Uuid, integration_id: Uuid, seen_url: Option<&str>) -> Result<(), Error> {
    let mut after = Uuid::nil();
    loop {
        let work = async {
            let mut transaction = store.pool().begin().await.attempt("begin to rename alerts")?;
            let locked = lock::connection(&mut transaction, tenant, integration_id).await?;
            let Some(locked) = locked.filter(|locked| locked.is_held) else { return Ok(None) };
            check_seen(&mut transaction, tenant, integration_id, seen_url).await?;
            let of = (tenant, integration_id);
            let last = alert::rename_ended(&mut transaction, of, locked.server_epoch, after).await?;
            transaction.commit().await.attempt("commit renamed alerts")?;
            Ok(last)
        };
        match store.within("rename alerts", store.work_ends(), work).await? {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// A person decides about what was seen, not about what came after it.
async fn check_seen(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    seen_url: Option<&str>,
) -> Result<(), Error> {
    let row = sqlx::query!(
        r#"select i.instance_url, c.held ->> 'new_url' as held_url
           from rmm_integrations i
           join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
           where i.tenant = $1 and i.integration_id = $2"#,
        tenant,
        integration_id
    );
    let row = row.fetch_one(connection).await.attempt("read what a connection is held for")?;
    let reason = if row.held_url.as_deref() != seen_url {
        "the connection is held for another URL than the one given"
    } else if row.held_url.is_some() && !origin::is_same(row.held_url.as_deref(), row.instance_url.as_deref()) {
        "the connection's URL was changed since it was held: sync the clients, and look at both sides again"
    } else {
        return Ok(());
    };
    Err(Error::Refused { what: format!("confirm connection {integration_id}").into(), reason: reason.to_owned() })
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
    forget_devices(connection, tenant, integration_id).await?;
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

/// A device of the old server keeps its asset, its client and its name; it belongs to none of the new server's numbers, so
/// that a mapping that is assigned anew does not take it along, and it is in no list any more.
async fn forget_devices(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    // a tenant has one connection to the provider; assets that no sync of ours has read have no agent to be found by
    sqlx::query!(
        "update assets a set rmm_organization_id = null, updated_at = now()
         from rmm_integrations i
         where a.tenant = $1 and i.tenant = a.tenant and i.integration_id = $2 and a.rmm_provider = i.provider
           and a.rmm_organization_id is not null",
        tenant,
        integration_id
    )
    .execute(&mut *connection)
    .await
    .attempt("forget which of another server's clients the assets were of")?;
    let present = sqlx::query_scalar!(
        "select agent_id from muster.agent where tenant = $1 and integration_id = $2 and missing_since is null",
        tenant,
        integration_id
    );
    let present = present.fetch_all(&mut *connection).await.attempt("read the agents of another server")?;
    sqlx::query!(
        "update muster.agent
         set external_client_id = null, digest = null, missing_since = coalesce(missing_since, now())
         where tenant = $1 and integration_id = $2",
        tenant,
        integration_id
    )
    .execute(&mut *connection)
    .await
    .attempt("forget which of another server's clients the agents were of")?;
    let fates: Vec<(String, Fate)> = present.into_iter().map(|agent_id| (agent_id, Fate::missing())).collect();
    device::tell(connection, tenant, integration_id, &fates).await?;
    // what the new server has is its own first import
    sqlx::query!("delete from muster.imported where tenant = $1 and integration_id = $2", tenant, integration_id)
        .execute(connection)
        .await
        .attempt("forget what was imported of another server")
        .map(drop)
}
