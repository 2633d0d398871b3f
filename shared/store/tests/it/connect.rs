//! The pool behind a network that swallows everything: the caller gets an answer, and the pool its place back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use fault::{Class, Classify};
use store::alert::{self, Details, Fact, Said};
use store::testing::TestDatabase;
use store::{Config, Error, Store};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::{connected, text, within};

/// A TCP proxy that can go silent: its connections stay open, and nothing passes any more.
struct Proxy {
    port: u16,
    freeze: Arc<Notify>,
    is_deaf: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(database: &TestDatabase) -> (Self, Config) {
        let (user, rest) = database.url().split_once('@').expect("the url has a user");
        let (address, name) = rest.split_once('/').expect("the url has a database");
        let (host, port) = address.rsplit_once(':').expect("the url has a port");
        let (host, port) = (host.to_owned(), port.parse::<u16>().expect("a number"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Self {
            port: listener.local_addr().expect("it is bound").port(),
            freeze: Arc::default(),
            is_deaf: Arc::default(),
        };
        let config = Config::for_url(&format!("{user}@127.0.0.1:{}/{name}", proxy.port));
        let (freeze, is_deaf) = (Arc::clone(&proxy.freeze), Arc::clone(&proxy.is_deaf));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect((host.as_str(), port)).await.expect("the server is there");
                let (freeze, is_deaf) = (Arc::clone(&freeze), Arc::clone(&is_deaf));
                tokio::spawn(async move {
                    if !is_deaf.load(Ordering::SeqCst) {
                        tokio::select! {
                            _ = copy_bidirectional(&mut client, &mut server) => return,
                            () = freeze.notified() => {}
                        }
                    }
                    // both sockets stay open
                    std::future::pending::<()>().await;
                });
            }
        });
        (proxy, config)
    }

    /// The connections so far are silent from now on; new ones pass.
    fn freeze(&self) {
        self.freeze.notify_waiters();
    }

    /// Every connection is silent from now on.
    fn swallow(&self) {
        self.is_deaf.store(true, Ordering::SeqCst);
        self.freeze();
    }
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_an_outage_and_the_pool_recovers() {
    let database = TestDatabase::create().await;
    let (proxy, mut config) = Proxy::before(&database).await;
    config.connections_max = 1;
    config.acquire_timeout_ms = 1_000;
    config.statement_timeout_ms = 100;
    let store = Store::lazy(&config, "test").expect("the url is sound");
    store.ping().await.expect("it answers through the proxy");

    proxy.freeze();
    let error = within(store.ping()).await.expect_err("nothing passes");
    assert_eq!(error.class(), Class::Outage);
    // the only place of the pool comes back, and a new connection passes
    within(async { while store.ping().await.is_err() {} }).await;
}

async fn opening(database: &TestDatabase) -> Fact {
    let connected = connected(&database.store(), 1).await;
    Fact {
        tenant: connected.tenant,
        integration_id: connected.integration_id,
        said: Said::Open,
        at: Utc::now(),
        agent_id: "agent".to_owned(),
        number: Some("7".to_owned()),
        alert_time: Some(Utc::now()),
        needs_fetch: false,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    }
}

/// Statements that wait for a lock on a table of this database.
const WAITING: &str = "select count(*)::text from pg_locks
    where not granted and database = (select oid from pg_database where datname = current_database())";

/// What `work` says when the network goes silent while it waits for a lock on `table`, and when the lock is then free.
async fn silenced<T: std::fmt::Debug>(
    database: &TestDatabase,
    table: &str,
    work: impl AsyncFnOnce(Store) -> Result<T, Error>,
) -> Error {
    let (proxy, mut config) = Proxy::before(database).await;
    config.acquire_timeout_ms = 500;
    config.statement_timeout_ms = 2_000;
    let store = Store::lazy(&config, "test").expect("the url is sound");
    let mut holder = database.connect().await;
    let lock = format!("begin; lock table {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut holder).await.expect("it is free");
    let silence = async {
        while text(database, WAITING).await == "0" {}
        proxy.swallow();
        drop(holder);
    };
    let (result, ()) = within(async { tokio::join!(work(store), silence) }).await;
    result.expect_err("nothing passes")
}

#[track_caller]
fn assert_no_answer(error: &Error, what: &str) {
    assert!(matches!(error, Error::NoAnswer { after_ms: 4_500, .. }), "{error:?}");
    assert_eq!((error.what(), error.class()), (what, Class::Outage));
}

#[tokio::test]
async fn alerts_that_the_network_swallows_are_an_outage() {
    let database = TestDatabase::create().await;
    let facts = [opening(&database).await];
    let error = silenced(&database, "rmm_integrations", async |store| alert::observe(&store, &facts).await).await;
    assert_no_answer(&error, "write alerts");
}

#[tokio::test]
async fn links_that_the_network_swallows_are_an_outage() {
    let database = TestDatabase::create().await;
    let fact = opening(&database).await;
    let agents = [(fact.tenant, fact.integration_id, fact.agent_id)];
    let error = silenced(&database, "muster.agent", async |store| alert::link(&store, &agents).await).await;
    assert_no_answer(&error, "link alerts");
}

#[tokio::test]
async fn a_network_that_goes_silent_after_the_commit_is_an_outage_too() {
    let database = TestDatabase::create().await;
    let facts = [opening(&database).await];
    let error = silenced(&database, "muster.alert_dedup", async |store| alert::observe(&store, &facts).await).await;
    assert_no_answer(&error, "renumber openings");
    assert_eq!(text(&database, "select count(*)::text from rmm_alerts").await, "1", "it was committed before");
}

#[tokio::test]
async fn an_age_is_told_also_where_the_database_does_not_tell_its_clock() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let now = store.database_now().await.expect("it answers");
    let hour = Duration::from_secs(3_600);
    let age = store.age(now - hour).await;
    assert!(age >= hour && age < hour * 2, "{age:?}");
    let nowhere = Store::lazy(&Config::for_url("postgres://nobody@127.0.0.1:1/none"), "test").expect("it is a url");
    let age = nowhere.age(Utc::now() - hour).await;
    assert!(age >= hour && age < hour * 2, "{age:?}");
    assert_eq!(nowhere.age(Utc::now() + hour).await, Duration::ZERO, "what is still to come");
}
