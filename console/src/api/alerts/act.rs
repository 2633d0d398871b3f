//! What a person does to an alert: resolved in Tactical first and then here, or acknowledged here alone.

use ::connection::{Open, server};
use chrono::SubsecRound as _;
use serde::Serialize;
use serde_json::json;
use store::alert::{self, Details, Fact, One, Refused, Said, Under, Written};
use store::connection::Connection;
use tactical::AlertChange;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// An alert after what was done to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertNow {
    alert_id: Uuid,
    /// active, acknowledged, suppressed, resolved or `auto_resolved`
    status: String,
    /// Tactical does not have it any more: it was deleted there, alone or with its device.
    is_gone: bool,
}

/// `POST …/alerts/{alert}/resolve`: in Tactical first, then here, so that nothing is resolved here that is open there.
pub(crate) async fn resolve(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<AlertNow>, Problem> {
    let (alert_id, found) = find(&call).await?;
    let Some(number) = alert::number(&found.external_alert_id) else {
        let detail = "Tactical's number of this alert is not known: its webhook named none.";
        return Err(Problem::conflict(detail, "Sync the alerts, which brings the number; then resolve it."));
    };
    let open = call.app.connections.open(call.tenant, found.integration_id).await?;
    same_server(open.settings())?;
    let there = look(&open, number, &found).await?;
    // before it is done: who asked is known even where nobody comes to hear how it went
    let entry = call.entry("alert.resolve", Some(alert_id.to_string()), json!({ "number": number }));
    store::audit::note(&call.app.store, &entry).await?;
    let is_gone = match there {
        There::Open => ask(&open, number).await?,
        There::Resolved => false,
        There::Gone => true,
    };
    let fact = resolved(&call, found).await?;
    let server_epoch = open.settings().server_epoch;
    let under = Under::Server { tenant: call.tenant, integration_id: fact.integration_id, server_epoch };
    if let Written::Refused(Refused::Left(left)) = alert::observe_under(&call.app.store, &under, &[fact]).await? {
        let detail = format!("The alert is resolved in Tactical, and not here: {}.", server::left(left));
        return Err(Problem::conflict(detail, "Look at the connection; then sync the alerts."));
    }
    let status = alert::find(&call.app.store, call.tenant, alert_id).await?.map_or_else(String::new, |now| now.status);
    Ok(Reply::ok(AlertNow { alert_id, status, is_gone }))
}

/// Where another server may answer, the number may be another alert's.
fn same_server(settings: &Connection) -> Result<(), Problem> {
    if settings.held_at.is_some() {
        let detail = "Another server seems to stand behind this connection, where the number is another alert's.";
        return Err(Problem::conflict(detail, "Look at `organization-mappings`, which shows both, and confirm."));
    }
    if settings.is_unconfirmed() {
        let detail = "The connection's URL was changed, and it is not known yet whether the same server answers there.";
        return Err(Problem::conflict(detail, "Sync the clients, which compares the servers; then resolve it."));
    }
    Ok(())
}

/// What Tactical has under an alert's number.
enum There {
    Open,
    Resolved,
    /// Nothing: it was deleted, alone or with its device.
    Gone,
}

/// Looks whether it is the same alert: numbers begin anew on a server that was restored from a backup.
async fn look(open: &Open, number: i64, found: &One) -> Result<There, Problem> {
    let there = match open.call(async |client| client.alert(number).await).await {
        Ok(there) => there,
        // the page of a proxy says nothing of the kind
        Err(::connection::Error::Tactical(error)) if error.is_no_such_object() => return Ok(There::Gone),
        Err(::connection::Error::Tactical(tactical::Error::Forbidden { .. })) => {
            return Err(Problem::tactical_forbids("reading this alert", &["can_list_alerts"]));
        }
        Err(error) => return Err(error.into()),
    };
    let agent_id = found.agent_id.as_deref().filter(|agent_id| !agent_id.is_empty());
    let has_other_agent = agent_id.is_some() && agent_id != there.agent_id.as_deref();
    let alert_time = there.alert_time.map(|time| time.trunc_subsecs(6));
    let has_other_time = found.alert_time.is_some() && alert_time.is_some() && found.alert_time != alert_time;
    if has_other_agent || has_other_time {
        let detail =
            format!("Tactical's alert {number} is another one by now: it was raised elsewhere or at another time.");
        return Err(Problem::conflict(detail, "Sync the alerts, which ends those that Tactical has no more."));
    }
    Ok(if there.resolved == Some(true) { There::Resolved } else { There::Open })
}

/// Resolves it in Tactical. True: it is gone meanwhile.
async fn ask(open: &Open, number: i64) -> Result<bool, Problem> {
    match open.call(async |client| client.change_alert(number, AlertChange::Resolve).await).await {
        Ok(()) => Ok(false),
        Err(::connection::Error::Tactical(error)) if error.is_no_such_object() => Ok(true),
        Err(::connection::Error::Tactical(tactical::Error::Forbidden { .. })) => {
            Err(Problem::tactical_forbids("resolving an alert", &["can_manage_alerts"]))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST …/alerts/{alert}/acknowledge`: here alone, since Tactical knows no such thing.
pub(crate) async fn acknowledge(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<AlertNow>, Problem> {
    let (alert_id, found) = find(&call).await?;
    let entry =
        call.entry("alert.acknowledge", Some(alert_id.to_string()), json!({ "number": found.external_alert_id }));
    let status = alert::acknowledge(&call.app.store, call.tenant, alert_id, &entry).await?;
    let status = status.ok_or_else(|| Problem::not_found("alert"))?;
    Ok(Reply::ok(AlertNow { alert_id, status, is_gone: false }))
}

async fn find(call: &Call) -> Result<(Uuid, One), Problem> {
    let alert_id = call.id("alert", "alert")?;
    let found = alert::find(&call.app.store, call.tenant, alert_id).await?;
    Ok((alert_id, found.ok_or_else(|| Problem::not_found("alert"))?))
}

/// That a person has resolved it, as of now: any poll that asks from now on sees it so.
async fn resolved(call: &Call, found: One) -> Result<Fact, Problem> {
    Ok(Fact {
        tenant: call.tenant,
        integration_id: found.integration_id,
        said: Said::Resolve,
        at: call.app.store.database_now().await?,
        agent_id: found.agent_id.unwrap_or_default(),
        number: Some(found.external_alert_id),
        alert_time: found.alert_time,
        needs_fetch: false,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    })
}
