//! The gateway's hooks against a real Postgres.

mod http_support;

use std::sync::Arc;
use std::time::Duration;

use http_support::client::request;
use http_support::{BODY, FakeBroker, PEPPER, SECRET, SharedBroker, TENANT, config, until};
use hyper::Method;
use ingest_gateway::{Outside, start};
use secrecy::SecretString;
use store::testing::TestDatabase;
use store::{hook, tenant};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn connecting_rotating_and_disconnecting_reach_the_gateway() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let folder = tempfile::tempdir().unwrap();
    // so long that only the question and the notification are fast enough
    let config = config(folder.path(), &["--hook-reload-ms", "3600000", "--hook-miss-ttl-ms", "20"]);
    let outside = Outside {
        hooks: Arc::new(store.clone()),
        publisher: Arc::new(SharedBroker(Arc::new(FakeBroker::default()))),
        metrics: telemetry::init("ingest-gateway-test", &telemetry::Config::default()).unwrap().metrics(),
    };
    let cancel = CancellationToken::new();
    let running = start(&config, SecretString::from(PEPPER), outside, cancel.clone()).await.unwrap();
    let url = format!("http://{}/api/webhooks/tacticalrmm?tenant={TENANT}", running.address);
    let post = async |secret: &str| {
        let request = request(Method::POST, &url).header("x-alga-webhook-secret", secret).body(BODY);
        request.send().await.unwrap().status
    };
    until("unknown", async || post(SECRET).await == 401).await;
    let new = |secret: &str| tenant::NewConnection {
        tenant: TENANT,
        client_name: "a tenant".to_owned(),
        instance_url: None,
        digest: Some(hook::digest(PEPPER.as_bytes(), secret)),
        grace: Duration::from_secs(60),
    };
    tenant::connect(&store, &new(SECRET), "a test").await.unwrap();
    until("connected", async || post(SECRET).await == 202).await;
    tenant::connect(&store, &new("rotated"), "a test").await.unwrap();
    until("rotated", async || post("rotated").await == 202).await;
    assert_eq!(post(SECRET).await, 202, "in its grace");
    tenant::set_suspended(&store, TENANT, true, "a test").await.unwrap();
    until("suspended", async || post("rotated").await == 200).await;
    tenant::set_suspended(&store, TENANT, false, "a test").await.unwrap();
    until("active again", async || post("rotated").await == 202).await;
    store::connection::disconnect(&store, TENANT, &store::testing::entry("integration.disconnect")).await.unwrap();
    until("disconnected", async || post("rotated").await == 200).await;
    cancel.cancel();
    running.stopped().await;
}
