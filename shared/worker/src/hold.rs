//! Messages of a paused tenant or kind: kept in the table as they are, no attempt burnt, and acknowledged after the commit.

use std::time::Instant;

use broker::{Delivery, Settlement};
use fault::{Class, Classify as _};
use serde_json::{Map, Value};
use store::parked::{Parked, ParkedState};
use store::pause;
use telemetry::{field, metric};

use crate::process::{Desk, Message};
use crate::settle;

/// The class of a held message: nothing is wrong with it.
const CLASS: &str = "held";

/// Holds those that are paused; the others, which are to be run.
pub(crate) async fn paused(desk: &Desk, messages: Vec<Message>, until: Instant) -> Vec<Message> {
    let runner = &desk.runner;
    if messages.is_empty() || !runner.pauses.known(until, &runner.stop).await {
        settle::set_aside(desk, messages, "held before the pauses were known");
        return Vec::new();
    }
    let is_paused = |message: &Message| runner.pauses.hold(message.meta.tenant, &message.meta.kind);
    let (paused, free): (Vec<Message>, Vec<Message>) = messages.into_iter().partition(is_paused);
    if paused.is_empty() {
        return free;
    }
    let resumed = hold(desk, paused, until).await;
    free.into_iter().chain(resumed).collect()
}

/// Holds messages; those that were resumed meanwhile are the answer.
async fn hold(desk: &Desk, messages: Vec<Message>, until: Instant) -> Vec<Message> {
    let runner = &desk.runner;
    let rows: Vec<Parked> = messages.iter().map(|message| row(message, &runner.hands.me)).collect();
    while runner.gate.wait_open(until, &runner.stop).await {
        match pause::hold(&runner.store, &rows).await {
            Ok(held) => return settle_held(desk, messages, &held),
            Err(error) if error.class() == Class::Outage => runner.gate.report_outage(&error.chain()),
            Err(error) => {
                tracing::warn!({ field::ERROR } = error.chain(), "messages of a pause wait to be held");
                break;
            }
        }
    }
    settle::set_aside(desk, messages, "paused, and could not be held");
    Vec::new()
}

fn settle_held(desk: &Desk, messages: Vec<Message>, held: &[bool]) -> Vec<Message> {
    desk.runner.gate.report_success();
    let (mut acknowledged, mut resumed) = (Vec::new(), Vec::new());
    for (message, is_held) in messages.into_iter().zip(held) {
        if *is_held {
            let kind = contract::find_kind(&message.meta.kind).map_or("unknown", |kind| kind.name);
            metrics::counter!(metric::PROCESSED_TOTAL, "kind" => kind, "outcome" => CLASS).increment(1);
            message.span.record(field::JOB_OUTCOME, CLASS);
            acknowledged.push(message.delivery);
        } else {
            resumed.push(message);
        }
    }
    desk.settler.settle(acknowledged.iter().map(|delivery| (delivery, Settlement::Ack)));
    resumed
}

fn row(Message { delivery, meta, .. }: &Message, me: &str) -> Parked {
    Parked {
        tenant: Some(meta.tenant),
        kind: Some(meta.kind.clone()),
        message_id: Some(meta.message_id.clone()),
        class: CLASS.to_owned(),
        reason: "its tenant or its kind is paused".to_owned(),
        attempt: meta.attempt,
        worker_version: me.to_owned(),
        state: ParkedState::Held,
        exchange: contract::topology::WORK.to_owned(),
        routing_key: delivery.routing_key.clone(),
        queue: Some(delivery.queue.clone()),
        headers: headers(delivery),
        body: delivery.body.to_vec(),
        traceparent: meta.traceparent.clone(),
        first_published_at: Some(meta.first_published_at),
    }
}

/// Every header as text, an object.
pub(crate) fn headers(delivery: &Delivery) -> Value {
    let headers: Map<String, Value> =
        delivery.readable_headers().into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    Value::Object(headers)
}
