//! A queue of the week's own on every event, and what it must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use contract::event::{AlertChanged, CloudEvent, Data, Transition};
use contract::topology;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tests::{Client, Fleet};
use uuid::Uuid;

use super::devices::{self, Device};
use super::side::Side;
use super::told;

const QUEUE: &str = "week.events";

/// What came so far, and what was there before.
pub(super) struct Events {
    /// Bodies by id.
    bodies: BTreeMap<String, Vec<u8>>,
    /// Alerts that were imported in one, with whether they were open.
    alerts: BTreeMap<(Uuid, Uuid), bool>,
    /// Devices that were imported in one.
    devices: BTreeSet<Uuid>,
}

impl Events {
    /// Receives every event from now on.
    pub(super) async fn bind(client: &Client) -> Self {
        client.bind_queue(QUEUE, topology::EVENTS, "rmm.#").await;
        Self { bodies: BTreeMap::new(), alerts: BTreeMap::new(), devices: BTreeSet::new() }
    }

    /// What stands there now was imported: its events begin later.
    pub(super) async fn note_import(&mut self, fleet: &Fleet, sides: &[Side]) {
        for side in sides {
            self.devices.extend(devices::rows(fleet, side.tenant).await.into_values().map(|device| device.asset_id));
        }
        self.alerts = rows(fleet).await.into_iter().map(|(alert, row)| (alert, row.status != "resolved")).collect();
    }

    /// What the events contradict: themselves, or the rows.
    pub(super) async fn differences(
        &mut self,
        fleet: &Fleet,
        sides: &[Side],
        devices: &BTreeMap<Uuid, BTreeMap<String, Device>>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for got in fleet.amqp().get_all(QUEUE).await {
            let id = got.message_id();
            if self.bodies.get(&id).is_some_and(|known| *known != got.body) {
                differences.push(format!("the event {id} has two contents"));
            }
            self.bodies.insert(id, got.body);
        }
        differences.extend(self.alerts(fleet, sides).await);
        differences.extend(told::devices(&self.all(), devices, &self.devices));
        differences.extend(told::software(fleet, self.all()).await);
        differences.extend(told::runs(fleet, self.all()).await);
        differences
    }

    /// Everything that was told of one sort.
    fn all<D: Data>(&self) -> Vec<D> {
        let is_one = |body: &&Vec<u8>| {
            let event: CloudEvent<serde_json::Value> = serde_json::from_slice(body).expect("an event can be read");
            D::TYPES.iter().any(|(name, _)| *name == event.event_type)
        };
        let event =
            |body| serde_json::from_slice::<CloudEvent<D>>(body).expect("an event of this type can be read").data;
        self.bodies.values().filter(is_one).map(|body| event(body)).collect()
    }

    async fn alerts(&self, fleet: &Fleet, sides: &[Side]) -> Vec<String> {
        let (all, rows, returned) = (self.all::<AlertChanged>(), rows(fleet).await, returned(sides));
        let mut of_alert: BTreeMap<(Uuid, Uuid), Vec<&AlertChanged>> = BTreeMap::new();
        for event in &all {
            of_alert.entry((event.tenant, event.alert_id)).or_default().push(event);
        }
        let silent = rows.keys().filter(|alert| !of_alert.contains_key(*alert) && !self.alerts.contains_key(*alert));
        let mut differences: Vec<String> =
            silent.map(|alert| format!("no event told of the alert {alert:?}")).collect();
        for (alert, mut events) in of_alert {
            // of two of one revision the resolve comes last: the other says what was resolved
            events.sort_by_key(|event| (event.rev, event.transition == Transition::Resolved));
            let before = self.alerts.get(&alert).copied();
            let found = walk(&events, before, rows.get(&alert));
            differences.extend(found.map(|why| format!("events of {alert:?}: {why}")));
            let reopened = events.iter().filter(|event| event.transition == Transition::Reopened).count();
            let number = rows.get(&alert).map(|row| (alert.0, row.number.clone()));
            if reopened > number.and_then(|number| returned.get(&number).copied()).unwrap_or_default() {
                differences.push(format!("the alert {alert:?} was told to be open again, and never was"));
            }
        }
        differences
    }
}

/// How often each number came back with a restored server, as the alert that it was or as another one. In Tactical itself no
/// alert ever opens again: a new failure has a new number.
fn returned(sides: &[Side]) -> BTreeMap<(Uuid, String), usize> {
    let mut returned = BTreeMap::new();
    for side in sides {
        for truth in side.control().alerts().into_iter().filter(|truth| truth.generation > 0) {
            *returned.entry((side.tenant, truth.alert_id.to_string())).or_default() += 1;
        }
    }
    returned
}

/// Follows an alert through its events to what its row shows; `is_open`: as it was imported.
fn walk(events: &[&AlertChanged], mut is_open: Option<bool>, row: Option<&Row>) -> Option<String> {
    for (place, event) in events.iter().enumerate() {
        let told = |why: &str| {
            let heard: Vec<_> = events.iter().map(|event| (event.rev, event.transition.as_str())).collect();
            Some(format!("{why} at revision {}: {heard:?}", event.rev))
        };
        if place > 0 && (event.rev, event.transition) == (events[place - 1].rev, events[place - 1].transition) {
            return told("two ids for one change");
        }
        is_open = match (event.transition, is_open) {
            (Transition::Opened, None) => Some(true),
            (Transition::Opened, Some(_)) => return told("opened twice"),
            (Transition::Resolved, None | Some(true)) => Some(false),
            (Transition::Resolved, Some(false)) => return told("resolved twice"),
            (Transition::Reopened, Some(false)) => Some(true),
            (Transition::Reopened, _) => return told("reopened while it was open"),
            (Transition::Updated, None) => return told("changed before it was there"),
            (Transition::Updated, known) => known,
        };
    }
    let last = events.last()?;
    let Some(row) = row else { return Some(format!("there is no such row: {last:?}")) };
    // an acknowledgement is a person's, and no event tells of it
    let plain = |status: &str| if status == "acknowledged" { "active".to_owned() } else { status.to_owned() };
    let (heard, shown) = ((last.rev, plain(&last.status)), (row.rev, plain(&row.status)));
    let is_open_row = row.status != "resolved";
    (heard != shown || is_open != Some(is_open_row)).then(|| format!("heard {heard:?} last, shown is {shown:?}"))
}

struct Row {
    /// Of the newest flip: facts that change nothing raise the alert's own revision and are no event.
    rev: i64,
    status: String,
    /// Tactical's.
    number: String,
}

/// Every alert.
async fn rows(fleet: &Fleet) -> BTreeMap<(Uuid, Uuid), Row> {
    let query =
        "select tenant, alert_id, greatest(s.opened_rev, s.updated_rev, s.resolved_rev, s.reopened_rev), r.status,
                        r.external_alert_id
                 from rmm_alerts r join muster.alert_state s using (tenant, alert_id)";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(query).fetch_all(&mut connection).await.expect("it answers");
    let row = |row: PgRow| ((row.get(0), row.get(1)), Row { rev: row.get(2), status: row.get(3), number: row.get(4) });
    rows.into_iter().map(row).collect()
}
