//! Whether the moment that a case waits for has come, and its harm has hit.

use contract::topology;
use sqlx::AssertSqlSafe;
use telemetry::metric;

use super::Trial;
use crate::{DEADLINE, until};

impl Trial {
    /// How many sessions of its database are so, in the words of `pg_stat_activity`.
    ///
    /// # Errors
    /// The database's.
    pub async fn sessions(&self, are: &str) -> Result<i64, String> {
        let count = format!("select count(*) from pg_stat_activity where datname = current_database() and {are}");
        sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&self.sql).await.map_err(|error| error.to_string())
    }

    /// How many deliveries a worker has not settled, by its metrics.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn in_hand(&self, place: usize) -> u64 {
        let url = format!("{}/metrics", self.fleet.worker_url(place));
        let metrics = reqwest::get(url).await.expect("it serves metrics").text().await.expect("it serves metrics");
        let of_queues = metrics.lines().filter(|line| line.starts_with(metric::UNSETTLED));
        of_queues.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// Waits until so many more alerts have rows, of both tenants together, than have now.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn until_rows(&self, more: i64) {
        let count = async || {
            let counted = sqlx::query_scalar("select count(*) from rmm_alerts").fetch_one(&self.sql).await;
            counted.map_err(|error| error.to_string())
        };
        let before: i64 = count().await.expect("the database answers");
        until(DEADLINE * 3, async || match count().await? {
            now if now - before >= more => Ok(()),
            now => Err(format!("{} of {more} rows came", now - before)),
        })
        .await;
    }

    /// Waits until an event stands in the outbox; one that was published, if it is said to be.
    ///
    /// # Panics
    /// If none does.
    pub async fn until_told(&mut self, is_published: bool) {
        let standing = "select message_id from muster.outbox where exchange = $1";
        until(DEADLINE, async || {
            self.keep_events().await;
            let stand = sqlx::query_scalar(standing).bind(topology::EVENTS).fetch_all(&self.sql).await;
            let stand: Vec<String> = stand.map_err(|error| error.to_string())?;
            let came = |id: &String| self.changes.iter().any(|(came, _)| came == id);
            match stand.iter().any(|id| !is_published || came(id)) {
                true => Ok(()),
                false => Err(format!("{} events stand in the outbox, none as it should", stand.len())),
            }
        })
        .await;
    }
}
