//! The alerts of a server that does not stand behind the connection any more: ended, and their numbers free.
//!
//! Every server numbers its alerts from 1 on. Alert 603 of the new one is another alert than 603 of the old one, and would be
//! taken for it as long as the name leads there. The rows of the old one stay, under names that nobody else has. Those that
//! ended long ago may be many: they are renamed in batches before the confirmation, which has but the others left to do.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::change::Change;
use super::fact::{Details, Fact, Key, REPLACED, Said};
use super::name::{AlertId, Component, Item};
use super::observe::{complete, finish, write};
use super::state::State;
use super::stored::{self, Stored};
use crate::Error;
use crate::error::Attempt;
use crate::outbox::NewRow;

/// Open alerts that are ended at once.
const BATCH_ALERTS_MAX: i64 = 1_000;
/// Ended alerts that are renamed in one transaction: a second on a busy server.
const RENAMED_AT_ONCE: i64 = 5_000;

/// Whether an alert is of a server that was replaced.
pub(super) fn is_replaced(state: &State) -> bool {
    state.number.as_deref().is_some_and(|number| number.starts_with(REPLACED))
}

/// Renames one batch of a connection's alerts that are over, and forgets what led to them, in the caller's transaction, which
/// has locked the connection. `after`: the last one of the batch before. `None`: there are no more.
pub(crate) async fn rename_ended(
    connection: &mut PgConnection,
    (tenant, integration_id): (Uuid, Uuid),
    server_epoch: i64,
    after: Uuid,
) -> Result<Option<Uuid>, Error> {
    let what = "rename the ended alerts of another server";
    let over = sqlx::query_scalar!(
        "select alert_id from rmm_alerts
         where tenant = $1 and integration_id = $2 and status in ('resolved', 'auto_resolved') and alert_id > $3
           and not starts_with(external_alert_id, $4)
         order by alert_id limit $5",
        tenant,
        integration_id,
        after,
        REPLACED,
        RENAMED_AT_ONCE
    );
    let over = over.fetch_all(&mut *connection).await.attempt(what)?;
    let Some(last) = over.last().copied() else { return Ok(None) };
    sqlx::query!(
        "select alert_id from muster.alert_state where tenant = $1 and alert_id = any ($2) order by alert_id
         for no key update",
        tenant,
        &over
    )
    .fetch_all(&mut *connection)
    .await
    .attempt(what)?;
    rename(connection, tenant, &over, server_epoch).await?;
    sqlx::query!(
        "delete from muster.alert_key where tenant = $1 and integration_id = $2 and alert_id = any ($3)",
        tenant,
        integration_id,
        &over
    )
    .execute(connection)
    .await
    .attempt(what)?;
    Ok(Some(last))
}

/// Ends the open alerts of a connection, renames what is not renamed yet, and forgets every name; in the caller's transaction,
/// which has locked the connection. `server_epoch`: that of the server which is replaced.
pub(crate) async fn end_replaced(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    server_epoch: i64,
) -> Result<(), Error> {
    // in the order in which everybody takes them; whoever waits for one finds that its name leads there no more
    sqlx::query!(
        "select alert_id from muster.alert_state
         where tenant = $1 and integration_id = $2 and coalesce(not starts_with(external_alert_id, $3), true)
         order by alert_id
         for no key update",
        tenant,
        integration_id,
        REPLACED
    )
    .fetch_all(&mut *connection)
    .await
    .attempt("lock the alerts of another server")?;
    let mut after = Uuid::nil();
    while let Some(last) = end(connection, tenant, integration_id, after).await? {
        after = last;
    }
    let left = sqlx::query_scalar!(
        "select alert_id from rmm_alerts
         where tenant = $1 and integration_id = $2 and not starts_with(external_alert_id, $3)",
        tenant,
        integration_id,
        REPLACED
    );
    let left = left.fetch_all(&mut *connection).await.attempt("read the alerts of another server")?;
    rename(connection, tenant, &left, server_epoch).await?;
    forget(connection, tenant, integration_id).await
}

/// Ends the open alerts of one batch; the last of them, `None` where there was none.
async fn end(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    after: Uuid,
) -> Result<Option<Uuid>, Error> {
    let open = sqlx::query!(
        r#"select alert_id, external_alert_id, clock_timestamp() as "now!" from rmm_alerts
           where tenant = $1 and integration_id = $2 and status in ('active', 'acknowledged', 'suppressed')
             and alert_id > $3
           order by alert_id limit $4"#,
        tenant,
        integration_id,
        after,
        BATCH_ALERTS_MAX
    );
    let open = open.fetch_all(&mut *connection).await.attempt("read the open alerts of another server")?;
    let Some((last, now)) = open.last().map(|row| (row.alert_id, row.now)) else { return Ok(None) };
    let alerts: BTreeSet<(AlertId, Uuid)> = open.iter().map(|row| ((tenant, row.alert_id), integration_id)).collect();
    // those that AlgaPSA knew and we did not are made by it
    stored::lock(connection, &alerts).await?;
    let stored = stored::read(connection, &alerts).await?;
    let mut items = Vec::new();
    let mut components = Vec::new();
    for row in &open {
        let Some(known) = stored.get(&(tenant, row.alert_id)) else { continue };
        components.push(Component { members: [known.alert].into(), items: vec![items.len()], names: Vec::new() });
        items.push(absent(known, &row.external_alert_id, now));
    }
    let none = HashMap::new();
    let changes = components.into_iter().map(|component| Change::of(component, &items, &none, &stored));
    let mut changes: Vec<Change> = changes.collect();
    complete(connection, &mut changes).await?;
    write(connection, &changes, now).await?;
    let told = changes.iter().flat_map(Change::events);
    let events: Vec<NewRow> = told.map(|(event, trace)| NewRow::event(event, now, trace)).collect();
    finish(connection, &changes, &events, &[], |_| false).await?;
    Ok(Some(last))
}

/// That an alert is over, whatever it is called.
fn absent(known: &Stored, external_alert_id: &str, now: DateTime<Utc>) -> Item {
    // no poll has seen it later than now, whatever the clock was set to meanwhile
    let polled_at = [&known.state.timed, &known.state.loose].map(|group| group.stamps.open_polled_at);
    let at = polled_at.into_iter().flatten().fold(now, DateTime::max);
    let is_named = known.state.number.is_some() || known.state.place.is_some();
    let keys = if is_named { Vec::new() } else { vec![Key::Number(external_alert_id.to_owned())] };
    let fact = Fact {
        tenant: known.alert.0,
        integration_id: known.integration_id,
        said: Said::Absent,
        at,
        agent_id: String::new(),
        number: None,
        alert_time: known.state.alert_time,
        needs_fetch: false,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    };
    Item { fact, keys }
}

/// Alerts whose locks are held get names that nobody else has.
async fn rename(
    connection: &mut PgConnection,
    tenant: Uuid,
    alert_ids: &[Uuid],
    server_epoch: i64,
) -> Result<(), Error> {
    let what = "rename the alerts of another server";
    let prefix = format!("{REPLACED}{server_epoch}|");
    sqlx::query_file!("sql/alert/replaced_rows.sql", tenant, alert_ids, prefix)
        .execute(&mut *connection)
        .await
        .attempt(what)?;
    sqlx::query_file!("sql/alert/replaced_states.sql", tenant, alert_ids)
        .execute(connection)
        .await
        .attempt(what)
        .map(drop)
}

async fn forget(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    let what = "forget the alerts' names on another server";
    // nothing is to be seen of them, and nothing leads there any more
    sqlx::query!(
        "delete from muster.alert_state where tenant = $1 and integration_id = $2 and external_alert_id is null",
        tenant,
        integration_id
    )
    .execute(&mut *connection)
    .await
    .attempt(what)?;
    sqlx::query!("delete from muster.alert_key where tenant = $1 and integration_id = $2", tenant, integration_id)
        .execute(&mut *connection)
        .await
        .attempt(what)?;
    // what the polls of the old server were shown says nothing of the new one's
    sqlx::query!("delete from muster.alert_poll where tenant = $1 and integration_id = $2", tenant, integration_id)
        .execute(connection)
        .await
        .attempt(what)
        .map(drop)
}
