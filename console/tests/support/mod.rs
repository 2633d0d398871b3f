//! A console in a world of the test's own: a real database, and requests that go straight to the router.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use chrono::{TimeDelta, Utc};
use console::{App, Config};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use store::Store;
use store::audit::Entry;
use store::tenant::NewConnection;
use store::testing::TestDatabase;
use store::token::{self, NewToken, Permission, Token};
use tower::ServiceExt as _;
use uuid::Uuid;
use vault::Vault;

pub(crate) const TENANT: Uuid = Uuid::from_u128(0x7e);
pub(crate) const OTHER: Uuid = Uuid::from_u128(0x0e);
pub(crate) const PEPPER: &str = "a-pepper-of-the-tests";

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) client_id: Uuid,
    router: Router,
}

impl World {
    /// Two tenants, both connected but without URL.
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::create().await;
        let store = database.store();
        let connected = connect(&store, TENANT).await;
        connect(&store, OTHER).await;
        let router = router(&store, database.url());
        Self { database, store, client_id: connected, router }
    }

    /// A token of the tenant with these permissions.
    pub(crate) async fn token(&self, permissions: &[Permission]) -> String {
        make(&self.store, Some(TENANT), permissions, None).await.1
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, Some(token), "").await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        answer(&self.router, request).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
        ask(&self.router, method, path, token, body).await
    }
}

pub(crate) async fn connect(store: &Store, tenant: Uuid) -> Uuid {
    let new = NewConnection {
        tenant,
        client_name: "Acme".to_owned(),
        instance_url: None,
        digest: Some(store::hook::digest(PEPPER.as_bytes(), "the-first-secret-of-the-tests")),
        grace: Duration::ZERO,
    };
    store::tenant::connect(store, &new, "a test").await.unwrap().client_id
}

/// A tenant that never had a connection.
pub(crate) async fn bare_tenant(database: &TestDatabase, tenant: Uuid) {
    database.execute(&format!("insert into tenants (tenant) values ('{tenant}')")).await;
}

pub(crate) async fn make(
    store: &Store,
    tenant: Option<Uuid>,
    permissions: &[Permission],
    expires_in: Option<TimeDelta>,
) -> (Token, String) {
    let new = NewToken {
        tenant,
        name: "the tests' token".to_owned(),
        permissions: permissions.to_vec(),
        expires_at: expires_in.map(|delta| Utc::now() + delta),
    };
    let entry = entry();
    let (token, text) = token::add(store, &new, &entry).await.unwrap();
    (token, text.expose_secret().to_owned())
}

pub(crate) fn entry() -> Entry {
    Entry { tenant: None, actor: "a test".to_owned(), action: "token.test", subject: None, detail: Value::Null }
}

/// A router over this store.
pub(crate) fn router(store: &Store, database_url: &str) -> Router {
    let config = config(database_url);
    let vault = Vault::open(&config.vault).unwrap();
    console::router(Arc::new(App::new(&config, store.clone(), vault).unwrap()))
}

pub(crate) fn config(database_url: &str) -> Config {
    let key = "11".repeat(32);
    let arguments = [
        "console",
        "--database-url",
        database_url,
        "--public-gateway-url",
        "https://hooks.example.com",
        "--hook-pepper",
        PEPPER,
        "--vault-key",
        &key,
        "--body-bytes-max",
        "4096",
    ];
    Config::read(arguments).unwrap()
}

pub(crate) async fn ask(router: &Router, method: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    answer(router, request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { status, headers, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// It is a problem with all its parts.
    pub(crate) fn problem(&self, status: u16, word: &str) -> &Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.json["type"], format!("urn:muster:problem:{word}"), "{self:?}");
        assert_eq!(self.json["status"], status, "{self:?}");
        for part in ["title", "detail", "remedy"] {
            assert!(self.json[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {self:?}");
        }
        assert_eq!(self.header("cache-control"), "no-store");
        &self.json
    }

    pub(crate) fn ok(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.json
    }
}

/// A path below the tenant's connection.
pub(crate) fn tactical(path: &str) -> String {
    format!("/api/v1/tenants/{TENANT}/integrations/tacticalrmm{path}")
}
