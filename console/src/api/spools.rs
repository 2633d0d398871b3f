//! Spools: what each gateway keeps on its own disk for the broker.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::spool::{self, Seen};
use utoipa::ToSchema;

use super::age_s;
use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// A gateway tells every 10 seconds; who missed three was stopped, or does not reach the database.
const SILENT_AFTER_S: i64 = 40;

/// One gateway's spool, as the gateway told it last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spool {
    /// The name of its machine.
    host: String,
    /// The folder there.
    folder: String,
    /// Messages that wait for the broker.
    records: i64,
    /// Messages that the broker refused five times; a person must look at them.
    set_aside: i64,
    /// Of both.
    bytes: i64,
    /// How long the oldest that waits has waited; null: none waits.
    oldest_age_s: Option<i64>,
    /// Why it takes no more: quota, disk or failed; null: it does.
    refusal: Option<String>,
    /// Webhooks go there and not to the broker.
    is_spooling: bool,
    /// When its gateway told this, on the database's clock.
    seen_at: DateTime<Utc>,
    /// The gateway has told nothing for 40 seconds: it was stopped, or does not reach the database.
    is_silent: bool,
}

/// The spools of all gateways, by machine and folder, at most 1,000. One that was empty is forgotten a day after its gateway
/// was heard of last, one that held something after 30 days.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spools {
    spools: Vec<Spool>,
}

impl From<Seen> for Spool {
    fn from(seen: Seen) -> Self {
        Self {
            host: seen.host,
            folder: seen.folder,
            records: seen.records,
            set_aside: seen.set_aside,
            bytes: seen.bytes,
            oldest_age_s: age_s(seen.oldest_at, seen.now),
            refusal: seen.refusal,
            is_spooling: seen.is_spooling,
            seen_at: seen.seen_at,
            is_silent: (seen.now - seen.seen_at).num_seconds() >= SILENT_AFTER_S,
        }
    }
}

/// `GET /api/v1/spools`.
pub(crate) async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Spools>, Problem> {
    let spools = spool::list(&call.app.store).await?;
    Ok(Reply::ok(Spools { spools: spools.into_iter().map(Spool::from).collect() }))
}
