//! What the routes do, one module a subject.

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod meta;
pub(crate) mod webhook;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The rows.
    items: Vec<T>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows that were asked for one more than fit: the extra one only says that there is a next page.
    pub(crate) fn of<R>(mut rows: Vec<R>, limit: u16, cursor: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Self {
        let has_more = rows.len() > usize::from(limit);
        rows.truncate(limit.into());
        let next_cursor = if has_more { rows.last().map(cursor) } else { None };
        Self { items: rows.into_iter().map(show).collect(), next_cursor }
    }
}

/// How long ago that was; clocks are the database's, so never less than nothing.
pub(crate) fn age_s(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<i64> {
    at.map(|at| (now - at).num_seconds().max(0))
}
