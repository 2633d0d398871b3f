//! What a person does to an alert: resolved in Tactical first and then here, or acknowledged here alone.

use serde::Serialize;
use serde_json::json;
use store::alert::{self, Details, Fact, One, Said};
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
    let Some(number) = number(&found) else {
        let detail = "Tactical's number of this alert is not known: its webhook named none.";
        return Err(Problem::conflict(detail, "Sync the alerts, which brings the number; then resolve it."));
    };
    let connection = store::connection::find(&call.app.store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    if connection.held_at.is_some() {
        let detail = "Another server seems to stand behind this connection, where the number is another alert's.";
        return Err(Problem::conflict(detail, "Look at `organization-mappings`, which shows both, and confirm."));
    }
    let open = call.app.connections.open(call.tenant, found.integration_id).await?;
    // before it is done: who asked is known even where nobody comes to hear how it went
    let entry = call.entry("alert.resolve", Some(alert_id.to_string()), json!({ "number": number }));
    store::audit::note(&call.app.store, &entry).await?;
    let asked = open.call(async |client| client.change_alert(number, AlertChange::Resolve).await).await;
    let is_gone = match asked {
        Ok(()) => false,
        Err(::connection::Error::Tactical(tactical::Error::NotFound { .. })) => true,
        Err(::connection::Error::Tactical(tactical::Error::Forbidden { .. })) => {
            return Err(Problem::tactical_forbids("resolving an alert", &["can_manage_alerts"]));
        }
        Err(error) => return Err(error.into()),
    };
    let fact = resolved(&call, found).await?;
    alert::observe(&call.app.store, &[fact]).await?;
    let status = alert::find(&call.app.store, call.tenant, alert_id).await?.map_or_else(String::new, |now| now.status);
    Ok(Reply::ok(AlertNow { alert_id, status, is_gone }))
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

/// Tactical's number, where the alert is known by it.
fn number(found: &One) -> Option<i64> {
    let number: i64 = found.external_alert_id.parse().ok()?;
    (number > 0 && number.to_string() == found.external_alert_id).then_some(number)
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
