//! `/alerts/`: the list that is a PATCH, its filters, and what a person can do with an alert.

use std::collections::BTreeSet;

use axum::http::Method;
use axum::response::Response;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::accounts::Role;
use super::alert::{Alert, ResolvedBy, Severity, Source};
use super::reply::{crash, forbidden, int, no_such, ok, refused, said, streamed_array, streamed_between, write_row};
use super::server::Call;
use super::world::World;

/// How many an alert list shows under `top`.
const FILTERS: [&str; 5] = ["timeFilter", "clientFilter", "severityFilter", "resolvedFilter", "snoozedFilter"];

impl World {
    fn sees_alert(&self, role: &Role, alert: &Alert) -> bool {
        // alerts without an agent are visible to every role
        role.sees_all() || self.place_of(alert).is_none_or(|(client, site)| role.sees(client, site))
    }

    fn place_of(&self, alert: &Alert) -> Option<(i64, i64)> {
        let machine = self.machine(alert.agent?)?;
        let site = self.site_of(&machine);
        Some((self.client_of(site), site))
    }

    fn alert_row(&self, alert: &Alert) -> Value {
        match alert.agent.and_then(|pk| self.agent(pk)) {
            Some(agent) => {
                alert.row(Some((&agent.hostname, &agent.machine.agent_id, &agent.client_name, &agent.site_name)))
            }
            None => alert.row(None),
        }
    }

    /// The ids of the visible alerts that `wanted` takes, in the order of the table.
    fn alert_ids(&self, role: &Role, wanted: impl Fn(&Self, &Alert) -> bool) -> Vec<i64> {
        let mut found: Vec<(u64, i64)> = self
            .alerts
            .values()
            .filter(|alert| wanted(self, alert) && self.sees_alert(role, alert))
            .map(|alert| (alert.touched, alert.id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }
}

/// `PATCH /alerts/`
pub(super) fn list(call: Call) -> Response {
    let filtered = FILTERS.iter().any(|filter| call.body.get(filter).is_some());
    if let (Some(top), false) = (call.body.get("top"), filtered) {
        let Some(top) = int(top) else { return crash() };
        return oldest(call, usize::try_from(top).unwrap_or(0));
    }
    let Ok(wanted) = Filter::read(&call.body) else { return crash() };
    let ids = {
        let world = call.shared.world();
        world.alert_ids(&call.role, |world, alert| wanted.takes(world, alert))
    };
    let mut ids = ids.into_iter();
    streamed_array(move |out| next_row(&call, &mut ids, out))
}

fn next_row(call: &Call, ids: &mut impl Iterator<Item = i64>, out: &mut Vec<u8>) -> bool {
    let world = call.shared.world();
    // what was deleted since the list began is left out
    ids.find_map(|id| world.alerts.get(&id)).is_some_and(|alert| write_row(out, &world.alert_row(alert)))
}

/// The oldest open, unsnoozed, unhidden ones, with the count of all such.
fn oldest(call: Call, top: usize) -> Response {
    let (count, ids) = {
        let world = call.shared.world();
        let mut ids = world.alert_ids(&call.role, |_, alert| !alert.resolved() && !alert.snoozed && !alert.hidden);
        ids.sort_by_key(|id| world.alerts.get(id).map(|alert| alert.alert_time));
        (ids.len(), ids)
    };
    let mut ids = ids.into_iter().take(top);
    streamed_between(format!("{{\"alerts_count\":{count},\"alerts\":["), "]}", move |out| {
        next_row(&call, &mut ids, out)
    })
}

/// What a list's body asks for. `resolvedFilter` and `snoozedFilter` only do something when they are false.
#[derive(Debug, Default)]
struct Filter {
    days: Option<i64>,
    clients: Option<BTreeSet<i64>>,
    severities: Option<BTreeSet<Severity>>,
    unresolved: bool,
    unsnoozed: bool,
}

impl Filter {
    /// An error is an exception on the server.
    fn read(body: &Value) -> Result<Self, ()> {
        let days = body.get("timeFilter").map(|days| whole(days).ok_or(())).transpose()?;
        let clients = body
            .get("clientFilter")
            .map(|list| list.as_array().map(|list| list.iter().filter_map(int).collect()).ok_or(()));
        let severities: Option<Result<BTreeSet<Severity>, ()>> = body.get("severityFilter").map(|list| {
            let known = [Severity::Info, Severity::Warning, Severity::Error];
            let list = list.as_array().ok_or(())?;
            Ok::<_, ()>(known.into_iter().filter(|severity| list.iter().any(|name| name == severity.name())).collect())
        });
        let off = |name: &str| body.get(name) == Some(&json!(false));
        Ok(Self {
            days,
            clients: clients.transpose()?,
            severities: severities.transpose()?,
            unresolved: off("resolvedFilter"),
            unsnoozed: off("snoozedFilter"),
        })
    }

    fn takes(&self, world: &World, alert: &Alert) -> bool {
        let young =
            self.days.is_none_or(|days| alert.alert_time > world.now() - TimeDelta::days(days.clamp(0, 100_000)));
        let client = world.place_of(alert).map(|(client, _)| client);
        young
            && self.clients.as_ref().is_none_or(|clients| client.is_some_and(|client| clients.contains(&client)))
            && self.severities.as_ref().is_none_or(|severities| severities.contains(&alert.severity))
            && !(self.unresolved && alert.resolved())
            && !(self.unsnoozed && alert.snoozed)
    }
}

/// `int()` of a time filter; anything else than a number or digits is an exception.
fn whole(value: &Value) -> Option<i64> {
    int(value).filter(|_| !value.is_boolean())
}

/// `GET|PUT|DELETE /alerts/<id>/`
pub(super) fn one(id: i64, call: &Call) -> Response {
    let mut world = call.shared.world();
    let Some(alert) = world.alerts.get(&id) else {
        // deleting what is not there is an unhandled exception
        return if call.method == Method::DELETE { crash() } else { no_such("Alert") };
    };
    if !world.sees_alert(&call.role, alert) {
        return forbidden();
    }
    if call.method == Method::GET {
        return ok(&world.alert_row(alert));
    }
    if call.method == Method::DELETE {
        world.delete_alert(id);
        return said("ok");
    }
    match call.body.get("type").map(Value::as_str) {
        Some(Some("resolve")) => world.resolve_by_person(id, ResolvedBy::Hand),
        Some(Some("snooze")) => {
            let Some(days) = call.body.get("snooze_days").and_then(int) else {
                return refused("Missing 'snoozed_days' when trying to snooze alert");
            };
            world.snooze(id, Some(days))
        }
        Some(Some("unsnooze")) => world.snooze(id, None),
        Some(_) => return refused("There was an error in the request data"),
        None => edit_fields(&mut world, id, &call.body),
    };
    said("ok")
}

/// Plain fields of a PUT.
fn edit_fields(world: &mut World, id: i64, body: &Value) -> bool {
    let severity = body.get("severity").and_then(|name| serde_json::from_value(name.clone()).ok());
    let message = body.get("message").and_then(Value::as_str).map(str::to_owned);
    let hidden = body.get("hidden").and_then(Value::as_bool);
    world.edit(id, |alert| {
        alert.severity = severity.unwrap_or(alert.severity);
        alert.message = message.or(alert.message.take());
        alert.hidden = hidden.unwrap_or(alert.hidden);
    })
}

/// `POST /alerts/`: a custom alert; the answer has no id, and `{}` is an availability alert without agent.
pub(super) fn create(call: &Call) -> Response {
    let mut world = call.shared.world();
    let text = |name: &str| call.body.get(name).and_then(Value::as_str);
    let source = if text("alert_type") == Some("custom") { Source::Custom } else { Source::Availability };
    let severity = text("severity").and_then(|name| serde_json::from_value(json!(name)).ok()).unwrap_or(Severity::Info);
    let agent = call.body.get("agent").and_then(Value::as_i64).filter(|pk| world.agent(*pk).is_some());
    let now = world.now();
    let at = world.stamp(now);
    let message = text("message").map(str::to_owned);
    let id = world.insert_alert(agent, source, severity, at);
    world.edit(id, |alert| alert.message = message);
    said("ok")
}

/// `POST /alerts/bulk/`: unknown ids are ignored.
pub(super) fn bulk(call: &Call) -> Response {
    let mut world = call.shared.world();
    let ids: Vec<i64> = call
        .body
        .get("alerts")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(int).collect())
        .unwrap_or_default();
    match call.body.get("bulk_action").and_then(Value::as_str) {
        Some("resolve") => {
            for id in ids {
                world.resolve_by_person(id, ResolvedBy::Bulk);
            }
        }
        Some("snooze") => {
            let Some(days) = call.body.get("snooze_days").and_then(int) else {
                return refused("The request was invalid");
            };
            for id in ids {
                world.snooze(id, Some(days));
            }
        }
        _ => return refused("The request was invalid"),
    }
    said("ok")
}
