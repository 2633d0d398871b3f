//! What a reload changes, and what it leaves alone.

use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use store::hook::Snapshot;

use super::*;

/// An empty table of version 1 on a database whose clock is two minutes ahead.
#[derive(Default)]
struct Ahead {
    snapshots: AtomicUsize,
}

impl HookSource for Ahead {
    fn version(&self) -> BoxFuture<'static, Result<i64, SourceError>> {
        std::future::ready(Ok(1)).boxed()
    }

    fn now(&self) -> BoxFuture<'static, Result<DateTime<Utc>, SourceError>> {
        std::future::ready(Ok(Utc::now() + TimeDelta::minutes(2))).boxed()
    }

    fn snapshot(&self) -> BoxFuture<'static, Result<Snapshot, SourceError>> {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Snapshot { version: 1, hooks: Vec::new(), database_now: Utc::now() })).boxed()
    }

    fn find(&self, _: Uuid) -> BoxFuture<'static, Result<Option<Hook>, SourceError>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn listen(&self) -> BoxFuture<'static, Result<Box<dyn Changes>, SourceError>> {
        std::future::pending().boxed()
    }
}

fn open(source: &Arc<Ahead>, folder: &std::path::Path) -> Hooks {
    let flags =
        ["ingest-gateway", "--database-url=postgres://x", "--amqp-url=amqp://x", "--hook-pepper=0123456789abcdef"];
    let limits = crate::Config::read(flags).expect("they are sound").limits;
    let source: Arc<dyn HookSource> = source.clone();
    Hooks::open(source, SecretString::from("0123456789abcdef"), folder.to_owned(), &limits)
}

fn seconds_ahead(hooks: &Hooks) -> i64 {
    (hooks.database_now() - Utc::now()).num_seconds()
}

#[tokio::test]
async fn a_measured_clock_leaves_the_table_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = Arc::new(Ahead::default());
    let hooks = open(&source, folder.path());
    hooks.reload(true).await.expect("the source answers");
    hooks.clock_offset_us.store(0, Ordering::Relaxed);
    let held = hooks.table().expect("it is loaded");
    hooks.reload(false).await.expect("the source answers");
    assert!((118..=120).contains(&seconds_ahead(&hooks)), "{} s ahead", seconds_ahead(&hooks));
    assert!(Arc::ptr_eq(&held, &hooks.table().expect("it is loaded")), "the table was copied for a clock");
    assert_eq!(source.snapshots.load(Ordering::Relaxed), 1);

    hooks.saved().await;
    let restarted = open(&source, folder.path());
    assert!((118..=120).contains(&seconds_ahead(&restarted)), "the disk keeps the clock");
}
