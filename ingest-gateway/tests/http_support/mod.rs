//! A gateway in a world of the test's own: hooks and publisher are fakes, HTTP and disk are real.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

pub(crate) mod client;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::PublishError;
use chrono::{DateTime, TimeDelta, Utc};
use client::{Body, Incoming, request};
use contract::{AlertObserved, Meta};
use futures_util::future::BoxFuture;
use hyper::Method;
use ingest_gateway::hooks::source::{Changes, HookSource, SourceError};
use ingest_gateway::publish::Publish;
use ingest_gateway::{Config, Outside, Running, start};
use secrecy::SecretString;
use serde_json::Value;
use spool::Record;
use store::hook::{Hook, HookState, Snapshot, digest};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const PEPPER: &str = "a-pepper-of-the-tests";
pub(crate) const SECRET: &str = "the-secret-of-the-tests";
pub(crate) const TENANT: Uuid = Uuid::from_u128(0x7e);
pub(crate) const INTEGRATION: Uuid = Uuid::from_u128(0x17);
pub(crate) const BODY: &str = concat!(
    r#"{"event":"trigger","alert_id":4711,"alert_type":"check","severity":"error","agent_id":"AgentOne","#,
    r#""client_id":1,"site_id":1,"alert_time":"2026-11-22 01:59:05.902118+00:00"}"#
);

/// A hook of `TENANT` with `SECRET`.
pub(crate) fn hook() -> Hook {
    hook_of(TENANT, SECRET)
}

pub(crate) fn hook_of(tenant: Uuid, secret: &str) -> Hook {
    Hook {
        tenant,
        integration_id: INTEGRATION,
        digest: digest(PEPPER.as_bytes(), secret),
        previous: None,
        state: HookState::Active,
    }
}

/// The database, as far as the gateway sees it.
#[derive(Default)]
pub(crate) struct FakeSource {
    pub(crate) away: AtomicBool,
    /// Where set, a question is not answered before it is told to.
    pub(crate) hold_find: AtomicBool,
    pub(crate) release: Notify,
    pub(crate) finds: AtomicUsize,
    pub(crate) clock_offset_ms: Mutex<i64>,
    hooks: Mutex<(i64, Vec<Hook>)>,
}

impl FakeSource {
    pub(crate) fn with(hooks: Vec<Hook>) -> Arc<Self> {
        Arc::new(Self { hooks: Mutex::new((1, hooks)), ..Self::default() })
    }

    pub(crate) fn away() -> Arc<Self> {
        Arc::new(Self { away: AtomicBool::new(true), ..Self::default() })
    }

    /// Replaces all hooks and raises the version.
    pub(crate) fn set(&self, hooks: Vec<Hook>) {
        let mut slot = self.hooks.lock().unwrap();
        *slot = (slot.0 + 1, hooks);
    }

    /// Replaces all hooks, and nobody is told: only a question finds out.
    pub(crate) fn set_silently(&self, hooks: Vec<Hook>) {
        self.hooks.lock().unwrap().1 = hooks;
    }

    fn answer<T>(&self, value: T) -> Result<T, SourceError> {
        let is_away = self.away.load(Ordering::SeqCst);
        if is_away { Err(SourceError("the fake database is away".to_owned())) } else { Ok(value) }
    }

    fn clock(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(*self.clock_offset_ms.lock().unwrap())
    }
}

/// The source as the gateway holds it.
pub(crate) struct Shared(pub Arc<FakeSource>);

impl HookSource for Shared {
    fn version(&self) -> BoxFuture<'static, Result<i64, SourceError>> {
        let version = self.0.hooks.lock().unwrap().0;
        Box::pin(std::future::ready(self.0.answer(version)))
    }

    fn now(&self) -> BoxFuture<'static, Result<DateTime<Utc>, SourceError>> {
        Box::pin(std::future::ready(self.0.answer(self.0.clock())))
    }

    fn snapshot(&self) -> BoxFuture<'static, Result<Snapshot, SourceError>> {
        let (version, hooks) = self.0.hooks.lock().unwrap().clone();
        let snapshot = Snapshot { version, hooks, database_now: self.0.clock() };
        Box::pin(std::future::ready(self.0.answer(snapshot)))
    }

    fn find(&self, tenant: Uuid) -> BoxFuture<'static, Result<Option<Hook>, SourceError>> {
        let source = Arc::clone(&self.0);
        Box::pin(async move {
            source.finds.fetch_add(1, Ordering::SeqCst);
            let found = source.hooks.lock().unwrap().1.iter().find(|hook| hook.tenant == tenant).cloned();
            if source.hold_find.load(Ordering::SeqCst) {
                source.release.notified().await;
            }
            source.answer(found)
        })
    }

    fn listen(&self) -> BoxFuture<'static, Result<Box<dyn Changes>, SourceError>> {
        Box::pin(std::future::ready(Err(SourceError("the fake database tells nothing".to_owned()))))
    }
}

/// The broker, as far as the gateway sees it.
#[derive(Default)]
pub(crate) struct FakeBroker {
    pub(crate) published: Mutex<Vec<(Meta, AlertObserved)>>,
    pub(crate) not_ready: AtomicBool,
    pub(crate) fails: AtomicBool,
    /// Whoever publishes dies.
    pub(crate) panics: AtomicBool,
    /// The agent whose messages are refused.
    pub(crate) refuses: Mutex<Option<String>>,
    /// Publishes that were begun.
    pub(crate) offers: AtomicUsize,
    /// Where set, a publish is not confirmed before it is told to.
    pub(crate) hold: AtomicBool,
    pub(crate) release: Notify,
}

/// The broker as the gateway holds it.
pub(crate) struct SharedBroker(pub Arc<FakeBroker>);

impl Publish for SharedBroker {
    fn publish(&self, record: Record) -> BoxFuture<'static, Result<(), PublishError>> {
        let broker = Arc::clone(&self.0);
        assert!(!broker.panics.load(Ordering::SeqCst), "planted");
        Box::pin(async move {
            broker.offers.fetch_add(1, Ordering::SeqCst);
            let (meta, alert) = (record.meta, serde_json::from_slice::<AlertObserved>(&record.body).unwrap());
            if broker.hold.load(Ordering::SeqCst) {
                broker.release.notified().await;
            }
            if broker.fails.load(Ordering::SeqCst) {
                return Err(PublishError::TimedOut);
            }
            if broker.refuses.lock().unwrap().as_ref() == Some(&alert.agent_id) {
                return Err(PublishError::Nacked);
            }
            broker.published.lock().unwrap().push((meta, alert));
            Ok(())
        })
    }

    fn is_ready(&self) -> bool {
        !self.0.not_ready.load(Ordering::SeqCst)
    }
}

/// One running gateway.
pub(crate) struct World {
    pub(crate) source: Arc<FakeSource>,
    pub(crate) broker: Arc<FakeBroker>,
    pub(crate) running: Option<Running>,
    pub(crate) url: String,
    pub(crate) admin_url: Option<String>,
    pub(crate) cancel: CancellationToken,
    pub(crate) folder: Arc<TempDir>,
}

impl World {
    /// With one hook, loaded.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let world = Self::start_with(FakeSource::with(vec![hook()]), None, flags).await;
        world.until_loaded().await;
        world
    }

    pub(crate) async fn start_with(source: Arc<FakeSource>, folder: Option<Arc<TempDir>>, flags: &[&str]) -> Self {
        let folder = folder.unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let config = config(folder.path(), flags);
        let broker = Arc::new(FakeBroker::default());
        let outside = Outside {
            hooks: Arc::new(Shared(Arc::clone(&source))),
            publisher: Arc::new(SharedBroker(Arc::clone(&broker))),
            metrics: telemetry::init("ingest-gateway-test", &telemetry::Config::default()).unwrap().metrics(),
        };
        let cancel = CancellationToken::new();
        let running = start(&config, SecretString::from(PEPPER), outside, cancel.clone()).await.unwrap();
        let url = format!("http://{}", running.address);
        let admin_url = running.admin_address.map(|address| format!("http://{address}"));
        Self { source, broker, running: Some(running), url, admin_url, cancel, folder }
    }

    pub(crate) fn hook_url(&self, tenant: Uuid) -> String {
        format!("{}/api/webhooks/tacticalrmm?tenant={tenant}", self.url)
    }

    /// Posts as Tactical does: no content type.
    pub(crate) async fn post(&self, tenant: Uuid, secret: &str, body: impl Into<Body>) -> Answer {
        let request = request(Method::POST, &self.hook_url(tenant)).header("x-alga-webhook-secret", secret);
        Answer::of(request.body(body).send().await.unwrap())
    }

    pub(crate) async fn post_good(&self, body: &str) -> Answer {
        self.post(TENANT, SECRET, body.to_owned()).await
    }

    pub(crate) async fn until_loaded(&self) {
        until("the hooks are loaded", async || self.get("/readyz").await.0 == 200).await;
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(&format!("{}{path}", self.url)).await
    }

    pub(crate) fn published(&self) -> Vec<(Meta, AlertObserved)> {
        self.broker.published.lock().unwrap().clone()
    }

    /// Stops it, and keeps its folder.
    pub(crate) async fn stop(mut self) -> Arc<TempDir> {
        self.cancel.cancel();
        self.running.take().unwrap().stopped().await;
        self.folder
    }
}

pub(crate) async fn get(url: &str) -> (u16, String) {
    let response = request(Method::GET, url).send().await.unwrap();
    (response.status, response.text)
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn of(response: Incoming) -> Self {
        let Incoming { status, headers, text } = response;
        let mut headers: Vec<_> = headers
            .iter()
            .filter(|(name, _)| name.as_str() != "date")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        assert!(text.len() <= 256, "an answer is short: {text}");
        Self { status, headers, json: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A configuration whose servers do not exist, with fast limits.
pub(crate) fn config(folder: &Path, flags: &[&str]) -> Config {
    let folder = folder.to_str().unwrap();
    let fixed = [
        "ingest-gateway",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        folder,
        "--hook-pepper",
        PEPPER,
        "--database-url",
        "postgres://nobody@127.0.0.1:1/none",
        "--amqp-url",
        "amqp://nobody:x@127.0.0.1:1/%2f",
    ];
    // a flag that the test gives itself stands only once
    let mut arguments = fixed.to_vec();
    let fast = [
        ("--hook-reload-ms", "50"),
        ("--hook-miss-ttl-ms", "200"),
        ("--drain-timeout-ms", "5000"),
        // a test says itself when a confirm is late, and its disk may be nearly full
        ("--spool-after-ms", "30000"),
        ("--spool-refusal-pause-ms", "20"),
        ("--spool-free-bytes-min", "0"),
    ];
    for (flag, value) in fast {
        if !flags.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(flags);
    Config::read(arguments).unwrap()
}

/// Polls until it holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "in 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
