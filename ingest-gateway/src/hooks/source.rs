//! Where hooks come from: Postgres, behind a trait so that the HTTP tests need none.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use store::hook::{self, Hook, Snapshot};
use store::{Error, Store};
use uuid::Uuid;

/// Why the source did not answer; its text is for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

impl From<Error> for SourceError {
    fn from(error: Error) -> Self {
        Self(error.chain())
    }
}

/// What the gateway asks of the database.
pub trait HookSource: Send + Sync + 'static {
    /// The hooks' version: equal to a snapshot's = the snapshot is still true.
    fn version(&self) -> BoxFuture<'static, Result<i64, SourceError>>;
    /// The database's clock.
    fn now(&self) -> BoxFuture<'static, Result<DateTime<Utc>, SourceError>>;
    /// Every hook.
    fn snapshot(&self) -> BoxFuture<'static, Result<Snapshot, SourceError>>;
    /// One tenant's hook.
    fn find(&self, tenant: Uuid) -> BoxFuture<'static, Result<Option<Hook>, SourceError>>;
    /// Begins to be told of changes: an accelerator, which may also fail or never tell anything.
    fn listen(&self) -> BoxFuture<'static, Result<Box<dyn Changes>, SourceError>>;
}

/// What tells of changes, from the moment on that it was made.
pub trait Changes: Send {
    /// Returns once a hook may have changed. After an error it is of no more use.
    fn next(&mut self) -> BoxFuture<'_, Result<(), SourceError>>;
}

impl Changes for hook::Changes {
    fn next(&mut self) -> BoxFuture<'_, Result<(), SourceError>> {
        Box::pin(async move { Ok(self.next().await?) })
    }
}

impl HookSource for Store {
    fn version(&self) -> BoxFuture<'static, Result<i64, SourceError>> {
        let store = self.clone();
        Box::pin(async move { Ok(hook::version(&store).await?) })
    }

    fn now(&self) -> BoxFuture<'static, Result<DateTime<Utc>, SourceError>> {
        let store = self.clone();
        Box::pin(async move { Ok(store.database_now().await?) })
    }

    fn snapshot(&self) -> BoxFuture<'static, Result<Snapshot, SourceError>> {
        let store = self.clone();
        Box::pin(async move { Ok(hook::snapshot(&store).await?) })
    }

    fn find(&self, tenant: Uuid) -> BoxFuture<'static, Result<Option<Hook>, SourceError>> {
        let store = self.clone();
        Box::pin(async move { Ok(hook::find(&store, tenant).await?) })
    }

    fn listen(&self) -> BoxFuture<'static, Result<Box<dyn Changes>, SourceError>> {
        let store = self.clone();
        Box::pin(async move {
            let changes: Box<dyn Changes> = Box::new(hook::listen(&store).await?);
            Ok(changes)
        })
    }
}
