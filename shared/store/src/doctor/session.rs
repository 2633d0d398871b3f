//! Whether a session is one: what a pooler in between would break.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::error::Attempt as _;
use crate::{Error, Store};

/// Limits that nobody sets, in milliseconds, by which each of the two sessions recognises its own.
const MARKS_MS: [u32; 2] = [14_321, 14_322];
/// The process and the limit of the session that answers.
const WHO: &str = "select pg_backend_pid(), current_setting('statement_timeout')";

/// How a session behaves. All `true`: the programs speak to the server itself, or through a pooler in session mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The limits that it asked for at its start are its own.
    pub keeps_limits: bool,
    /// While another session was in a transaction, its server process was its own.
    pub is_alone: bool,
    /// What another session notifies arrives within the wait.
    pub hears: bool,
}

/// Opens two sessions and looks whether they are. Plain statements only: a pooler breaks prepared ones.
///
/// # Errors
/// What the database said.
pub async fn session(store: &Store, wait: Duration) -> Result<Session, Error> {
    let looking = async {
        let one = marked(store, MARKS_MS[0]);
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(wait.max(Duration::from_secs(5)));
        let mut listener = PgListener::connect_with(&pool.connect_lazy_with(one)).await.attempt("open a session")?;
        let mut other = store.connect(&marked(store, MARKS_MS[1]), "open a second session").await?;
        let channel = format!("muster_doctor_{}", Uuid::new_v4().simple());
        listener.listen(&channel).await.attempt("listen")?;

        let (before, own_limit) = who(&mut listener).await?;
        // idle, the first one's process would be given to the second, and this one keeps it
        other.execute("begin").await.attempt("begin")?;
        let (other_pid, other_limit) = who(&mut other).await?;
        let (after, _) = who(&mut listener).await?;
        other.execute("rollback").await.attempt("roll back")?;
        let notify = format!("notify {channel}");
        other.execute(AssertSqlSafe(notify)).await.attempt("notify")?;
        let heard = tokio::time::timeout(wait, listener.try_recv()).await;
        // a pooler may have gone away with it; what it told stands
        let _ = other.close().await;
        Ok(Session {
            keeps_limits: own_limit == mark(0) && other_limit == mark(1),
            is_alone: before != other_pid && before == after,
            hears: matches!(heard, Ok(Ok(Some(_)))),
        })
    };
    store.within("look at two sessions", store.work_ends(), looking).await
}

/// The limit of one of the two, as the server shows it.
fn mark(place: usize) -> String {
    format!("{}ms", MARKS_MS[place])
}

fn marked(store: &Store, limit_ms: u32) -> PgConnectOptions {
    store.options().clone().options([("statement_timeout", limit_ms)])
}

async fn who(session: impl sqlx::PgExecutor<'_>) -> Result<(i32, String), Error> {
    let row = sqlx::raw_sql(WHO).fetch_one(session).await.attempt("ask a session who it is")?;
    Ok((row.try_get(0).attempt("read a process's number")?, row.try_get(1).attempt("read a limit")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn without_a_pooler_a_session_is_one() {
        let database = TestDatabase::empty().await;
        let session = session(&database.store(), Duration::from_secs(30)).await.unwrap();
        assert_eq!(session, Session { keeps_limits: true, is_alone: true, hears: true });
    }
}
