//! Alerts: which one a fact is about, what is known of it, and what a reader sees.
//!
//! **The rule.** An alert's state is a function of the *set* of facts about it ([`Fact`]): a join semilattice of stamps that
//! only move one way, so that any order, any duplication and any split of the same facts into batches and writers ends
//! in the same rows. What a webhook said first, twice or too late makes no difference.
//!
//! **Which alert.** A fact names its alert by number (`id:7`), by agent and `alert_time` (`at:…`), or by both;
//! `muster.alert_key` says where each name leads. A fact with both makes two names one: where they led to two alerts (an
//! open that had only a time, a resolve that had only a number), the one without a number is merged into the other, and
//! its readers hear a last `resolved`. Two numbers are never merged, whatever times they claim. With neither name the
//! fact is a hint: its bytes are kept and a reconciliation is wished for; only where the connection has no API to ask
//! (`settings.auth_mode` is null) do agent, type and check name the alert.
//!
//! **Open or resolved.** Four stamps: `opened_at` (least stamp of an open), `resolve_said_at`, `absent_at` and
//! `open_polled_at` (greatest). Resolved means that one of the middle two exists and is not older than the last. So a
//! resolve before its open waits as a row that is already resolved, a late open fills in `opened_at` and reopens nothing,
//! and only a poll that began after the resolve reopens, whoever resolved. Without an API an open is as good as a poll. A
//! resolve whose body was broken (`needs_fetch`) never counts: it notes that the alert is to be read.
//!
//! **Incarnations.** Tactical's numbers restart on a restored server. A later `alert_time` starts the alert's stamps and
//! details anew in the same row; facts of an earlier one are counted and change nothing; facts without one count unless
//! they are older than the newest opening.
//!
//! **Details** are decided field by field: the greatest (poll before webhook, stamp, value) that said anything, so that a
//! resolve whose template names no message does not erase the open's.
//!
//! **Revision.** `rev` is twice the number of distinct facts, plus one once an asset is linked. It is the same in every
//! order at the end, and grows with every change under the alert's row lock, so (alert, rev, transition) cannot come
//! twice. Facts are told apart by 8-byte digests, the newest [`DIGESTS_MAX`] of each alert; a copy of an older one raises
//! the revision once more and changes nothing else.
//!
//! **Retired.** Long after its end an alert's details and digests are let go (`retention`), its names, stamps and revision
//! are not. A fact from before that moment says nothing new of it, unless it tells of a later incarnation; any other begins
//! its details anew.
//!
//! **Replaced.** Where a person confirms another server behind the connection, the old one's alerts are ended, take names that
//! no number has, and all keys that led to them go.
//!
//! **Locks** are taken in one order, each class sorted and in one statement: `alert_key`, `alert_dedup` (only by the second
//! step of [`observe`]), `alert_state`, `rmm_alerts`, `alert_raw`, `agent`, `outbox`, findings and wishes. Whoever writes a
//! row of `rmm_alerts` holds its `alert_state`. The join itself is done here and not in SQL: two alerts, two incarnations
//! and eight details in one `do update` would be a page that nobody can check, and one pure function serves the batch, the
//! table and the merge alike. The lock is an upsert that writes nothing, which Citus takes on any number of shards.
pub mod bound;
mod change;
mod fact;
mod kept;
mod link;
mod name;
mod observe;
mod occurrence;
mod person;
mod poll;
mod replaced;
mod state;
mod stored;
mod under;
mod view;

use tracing::{Span, info_span};

use crate::Error;

pub use fact::{Details, Fact, Odd, Said, Severity, Snooze, number};
pub use link::{Agent, link};
pub(crate) use link::{link_assets, link_until};
pub use observe::{Observed, Outcome, Written, observe, observe_again, observe_under};
pub use person::{One, acknowledge, find};
pub use poll::{
    Found, LastPoll, OPEN_ALERTS_PAGE, OpenAlert, Polled, each_open_before, end_backfill, end_poll, last_poll, news,
    note_agents,
};
pub(crate) use replaced::{end_replaced, rename_ended};
pub use state::DIGESTS_MAX;
pub use under::{Refused, Under};

/// How often a transaction that met a merge, or an asset that was just deleted, is tried before the runner hears of it.
const TRIES_MAX: u32 = 5;

/// The span of a statement over a batch, named as OpenTelemetry names them: the last bar of the waterfall that begins with
/// the webhook.
pub(crate) fn statement(operation: &'static str, table: &'static str, rows: usize) -> Span {
    info_span!(
        "statement",
        otel.name = format!("{operation} {table}"),
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = operation,
        db.collection.name = table,
        db.operation.batch.size = rows,
    )
}

/// Somebody merged or deleted what this transaction was about to use; it has written nothing.
pub(crate) fn raced(what: &'static str) -> Error {
    Error::Contention { what: what.into(), source: sqlx::Error::RowNotFound }
}

/// Counts the tries of a transaction whose ground another one has just taken away. Deadlocks and timeouts are not among
/// that: the runner repeats those.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether this failure is worth another try at once.
    pub(crate) fn is_worth_another(&mut self, error: &Error) -> bool {
        self.0 += 1;
        self.0 < TRIES_MAX && is_raced(error)
    }
}

fn is_raced(error: &Error) -> bool {
    match error {
        Error::Contention { source: sqlx::Error::RowNotFound, .. } => true,
        // the asset or the connection was deleted between our look and our write
        Error::Data { source: sqlx::Error::Database(source), .. } => source.is_foreign_key_violation(),
        _ => false,
    }
}
