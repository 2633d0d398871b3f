//! What the routes do, one module a subject.

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod connection;
pub(crate) mod coverage;
pub(crate) mod mappings;
pub(crate) mod merges;
pub(crate) mod meta;
pub(crate) mod parked;
pub(crate) mod pauses;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod software;
pub(crate) mod spools;
pub(crate) mod webhook;

use chrono::{DateTime, Utc};

/// How long ago that was; clocks are the database's, so never less than nothing.
pub(crate) fn age_s(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<i64> {
    at.map(|at| (now - at).num_seconds().max(0))
}
