//! A queue of the test's own on `muster.events`, and what it must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use contract::event::{AlertChanged, CloudEvent, Transition};
use contract::topology;
use sqlx::Row as _;
use tests::{Client, Fleet, Got};
use uuid::Uuid;

const QUEUE: &str = "test.events";

/// The bound queue.
pub(super) struct Events;

impl Events {
    /// Receives every event about alerts from now on.
    pub(super) async fn bind(client: &Client) -> Self {
        client.bind_queue(QUEUE, topology::EVENTS, "rmm.alert.#").await;
        Self
    }

    /// Takes what has come.
    pub(super) async fn take(&self, client: &Client) -> Vec<Got> {
        client.get_all(QUEUE).await
    }

    /// How many lie there.
    pub(super) async fn count(&self, client: &Client) -> u32 {
        client.depth(QUEUE).await.unwrap_or_default()
    }

    /// Every id has one content, every (alert, rev, transition) one id, each alert opened at most once, and the newest
    /// event of each alert tells what its row shows.
    pub(super) async fn check_against(&self, fleet: &Fleet) {
        let mut by_id: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for got in self.take(fleet.amqp()).await {
            let id = got.message_id();
            let known = by_id.entry(id.clone()).or_insert_with(|| got.body.clone());
            assert_eq!(*known, got.body, "the event {id} has two contents");
        }
        let event = |body: &Vec<u8>| serde_json::from_slice::<CloudEvent<AlertChanged>>(body).expect("an event");
        let events: Vec<AlertChanged> = by_id.values().map(|body| event(body).data).collect();
        let keys: BTreeSet<_> = events.iter().map(|event| (event.alert_id, event.rev, event.transition)).collect();
        assert_eq!(keys.len(), events.len(), "one (alert, rev, transition) has two ids");
        let shown: BTreeSet<_> = events.iter().map(|event| (event.alert_id, event.rev, &event.status)).collect();
        let revs: BTreeSet<_> = events.iter().map(|event| (event.alert_id, event.rev)).collect();
        assert_eq!(shown.len(), revs.len(), "events of one revision show two states");
        let opened = events.iter().filter(|event| event.transition == Transition::Opened);
        let opened: Vec<Uuid> = opened.map(|event| event.alert_id).collect();
        assert_eq!(opened.iter().collect::<BTreeSet<_>>().len(), opened.len(), "an alert was opened twice");

        let mut newest: BTreeMap<Uuid, (i64, String)> = BTreeMap::new();
        for event in events {
            let entry = newest.entry(event.alert_id).or_default();
            *entry = entry.clone().max((event.rev, event.status));
        }
        assert_eq!(newest, rows(fleet).await, "the newest events are not what the rows show");
    }
}

/// Revision and status of every alert.
async fn rows(fleet: &Fleet) -> BTreeMap<Uuid, (i64, String)> {
    let query = "select alert_id, s.rev, r.status from rmm_alerts r join muster.alert_state s using (tenant, alert_id)";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(query).fetch_all(&mut connection).await.expect("it answers");
    rows.into_iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}
