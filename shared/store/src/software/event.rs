//! What readers are told of software: the rows of the history, each with its program's name.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use contract::event::{SoftwareChange, SoftwareChanged};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::diff::{What, Writes};
use crate::Error;
use crate::error::Attempt;
use crate::outbox::{self, NewRow};

/// Writes what a batch tells. A device's first list is no change, and nothing is told of it here.
pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &Batch,
    writes: &Writes,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if writes.changes.is_empty() {
        return Ok(());
    }
    let programs: BTreeSet<Uuid> = writes.changes.iter().map(|change| change.software_id).collect();
    let names = names(connection, batch.tenant, &programs.into_iter().collect::<Vec<_>>()).await?;
    let events = writes.changes.iter().filter_map(|change| {
        // a row of the catalogue that somebody deletes takes what refers to it along
        let (name, publisher) = names.get(&change.software_id)?.clone();
        let event = SoftwareChanged {
            tenant: batch.tenant,
            asset_id: change.asset_id,
            integration_id: batch.integration_id,
            rev: change.rev,
            change: match change.what {
                What::Installed => SoftwareChange::Installed,
                What::Updated => SoftwareChange::Updated,
                What::Removed => SoftwareChange::Removed,
            },
            agent_id: writes.agents.get(&change.asset_id)?.clone(),
            software_id: change.software_id,
            name,
            publisher,
            version: change.version.clone(),
            previous_version: change.previous.clone(),
        };
        Some(NewRow::event(event, now, None))
    });
    let events: Vec<NewRow> = events.collect();
    outbox::insert(connection, &events).await.map(drop)
}

/// Name and publisher of these programs.
async fn names(
    connection: &mut PgConnection,
    tenant: Uuid,
    programs: &[Uuid],
) -> Result<HashMap<Uuid, (String, String)>, Error> {
    let rows = sqlx::query!(
        r#"select software_id, name, coalesce(publisher, '') as "publisher!"
           from software_catalog where tenant = $1 and software_id = any ($2)"#,
        tenant,
        programs
    );
    let rows = rows.fetch_all(connection).await.attempt(format!("read the names of {} programs", programs.len()))?;
    Ok(rows.into_iter().map(|row| (row.software_id, (row.name, row.publisher))).collect())
}
