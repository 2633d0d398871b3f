//! A transition as the outbox carries it: one row per (alert, rev, transition).

use contract::event::AlertChanged;
use contract::topology;

use crate::outbox::NewRow;

/// The event's row; its id is a function of (alert, rev, transition).
pub(crate) fn outbox_row(event: &AlertChanged, traceparent: Option<String>) -> NewRow {
    let message_id = event.event_id();
    NewRow {
        tenant: event.tenant,
        exchange: topology::EVENTS.to_owned(),
        routing_key: event.routing_key(),
        kind: event.transition.event_type(),
        dedup: message_id.clone(),
        message_id,
        body: serde_json::to_vec(event).expect("an event of texts, numbers and times is JSON"),
        traceparent,
        available_at: None,
    }
}
