//! What the spool of each gateway holds, as the gateways tell it; the spools themselves lie on their disks.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Error, Store};

/// How long a spool that held something is remembered after its gateway was heard of last, in days.
pub const REMEMBERED_DAYS: i32 = 30;
/// Spools of one [`list`]: many more than anybody runs gateways.
pub const ROWS_MAX: i64 = 1_000;
/// What the table takes of a machine's name.
const HOST_BYTES_MAX: usize = 255;
/// What the table takes of a path; of a longer one the end is kept.
const FOLDER_BYTES_MAX: usize = 2_000;

/// Why a spool takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its quota is used up.
    Quota,
    /// The disk must keep some room for others.
    Disk,
    /// The disk failed.
    Failed,
}

impl Refusal {
    /// As the table has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Disk => "disk",
            Self::Failed => "failed",
        }
    }
}

/// What a gateway tells of its spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The name of its machine.
    pub host: String,
    /// The folder there.
    pub folder: String,
    /// Messages that wait for the broker.
    pub records: u64,
    /// Messages that the broker refused five times.
    pub set_aside: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// How long the oldest that waits has waited; `None`: none waits.
    pub oldest_age: Option<Duration>,
    /// Why it takes no more; `None`: it does.
    pub refusal: Option<Refusal>,
    /// Whether webhooks go there and not to the broker.
    pub is_spooling: bool,
}

/// A gateway's spool when it was heard of last; stamps are the database's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The name of its machine.
    pub host: String,
    /// The folder there.
    pub folder: String,
    /// Messages that wait for the broker.
    pub records: i64,
    /// Messages that the broker refused five times.
    pub set_aside: i64,
    /// Bytes of both.
    pub bytes: i64,
    /// When the oldest that waits came.
    pub oldest_at: Option<DateTime<Utc>>,
    /// A [`Refusal`]'s word, perhaps of a later version.
    pub refusal: Option<String>,
    /// Whether webhooks go there and not to the broker.
    pub is_spooling: bool,
    /// When its gateway told this.
    pub seen_at: DateTime<Utc>,
    /// When this was read.
    pub now: DateTime<Utc>,
}

/// Notes what a spool holds. What nobody has told of for a day is forgotten on the way, what held something after
/// [`REMEMBERED_DAYS`].
///
/// # Errors
/// What the database said.
pub async fn note(store: &Store, holding: &Holding) -> Result<(), Error> {
    let noting = sqlx::query!(
        "insert into muster.spool (host, folder, records, set_aside, bytes, oldest_at, refusal, is_spooling, seen_at)
         values ($1, $2, $3, $4, $5, now() - make_interval(secs => $6), $7, $8, now())
         on conflict (host, folder) do update
         set records = excluded.records, set_aside = excluded.set_aside, bytes = excluded.bytes,
             oldest_at = excluded.oldest_at, refusal = excluded.refusal, is_spooling = excluded.is_spooling,
             seen_at = excluded.seen_at",
        end(&holding.host, HOST_BYTES_MAX),
        end(&holding.folder, FOLDER_BYTES_MAX),
        count(holding.records),
        count(holding.set_aside),
        count(holding.bytes),
        holding.oldest_age.map(|age| age.as_secs_f64()),
        holding.refusal.map(Refusal::as_str),
        holding.is_spooling
    );
    store.run("note what the spool holds", noting.execute(store.pool())).await?;
    forget_old(store).await
}

/// A statement of its own, which waits for nobody: two gateways that each held their own row and wanted to delete the
/// other's would wait for ever.
async fn forget_old(store: &Store) -> Result<(), Error> {
    let row = sqlx::query!(
        "delete from muster.spool s using (
             select host, folder from muster.spool
             where seen_at < now() - make_interval(days => case when records + set_aside > 0 then $1 else 1 end)
             for update skip locked
         ) old
         where s.host = old.host and s.folder = old.folder",
        REMEMBERED_DAYS
    );
    store.run("forget old spools", row.execute(store.pool())).await.map(drop)
}

/// The spools of all gateways, by machine and folder, at most [`ROWS_MAX`].
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store) -> Result<Vec<Seen>, Error> {
    let rows = sqlx::query_as!(
        Seen,
        r#"select host, folder, records, set_aside, bytes, oldest_at, refusal, is_spooling, seen_at, now() as "now!"
           from muster.spool order by host, folder limit $1"#,
        ROWS_MAX
    );
    store.run("list the spools", rows.fetch_all(store.pool())).await
}

/// Forgets a spool that somebody has emptied by hand; whether it was known.
///
/// # Errors
/// What the database said.
pub async fn forget(store: &Store, host: &str, folder: &str) -> Result<bool, Error> {
    let (host, folder) = (end(host, HOST_BYTES_MAX), end(folder, FOLDER_BYTES_MAX));
    let row = sqlx::query!("delete from muster.spool where host = $1 and folder = $2", host, folder);
    let done = store.run("forget a spool", row.execute(store.pool())).await?;
    Ok(done.rows_affected() > 0)
}

fn count(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// The last bytes of a text, whole characters only.
fn end(text: &str, bytes_max: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(bytes_max));
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_text_that_is_too_long_the_end_is_kept_in_whole_characters() {
        assert_eq!(end("/a/b", 4), "/a/b");
        assert_eq!(end("/a/b", 3), "a/b");
        assert_eq!(end("ä/b", 3), "/b");
        assert_eq!(end("ä/b", 4), "ä/b");
    }
}
