//! Secrets are planted as canaries and must not be found in anything that a person or a machine may read.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use connection::Error;
use store::connection::DeviceSource;
use store::secret;
use tests::simulator::{Fault, FaultKind, Simulator, totp_code};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{Bench, KEY, Who, simulator, vault};

/// Keeps everything that any crate says at any level, with every field of every span.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Everything {
    fn text(&self) -> String {
        self.0.lock().expect("nobody panicked with it").clone()
    }
}

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = self.0.lock().expect("nobody panicked with it");
        let _ = write!(text, " {field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What must not be found: as it was entered, and as the server gave it.
async fn canaries(bench: &Bench, entered: &[&str]) -> Vec<String> {
    let mut canaries: Vec<String> = entered.iter().map(|text| (*text).to_owned()).collect();
    canaries.push(KEY.to_owned());
    if let Some(sealed) = secret::get(&bench.store(), bench.tenant, secret::KNOX_TOKEN).await.expect("it answers") {
        use secrecy::ExposeSecret;
        let token = connection::unseal(&vault(), bench.tenant, secret::KNOX_TOKEN, &sealed).expect("it is ours");
        canaries.push(token.expose_secret().to_owned());
    }
    canaries
}

fn none_in(text: &str, canaries: &[String]) {
    for canary in canaries {
        let found = text.find(canary.as_str());
        assert!(
            found.is_none(),
            "`{canary}` in …{}…",
            found.map(|at| &text[at.saturating_sub(200)..at]).unwrap_or_default()
        );
    }
}

/// Everything that a caller can print of a connection and of what it said.
async fn use_it(bench: &Bench, code: Option<&str>, said: &mut String) {
    let connections = bench.connections();
    let report = connections.test(bench.tenant, code, "a test").await;
    let _ = write!(said, "{report:?}{connections:?}{:?}{:?}", vault(), connections.shown(bench.tenant).await);
    if let Ok(report) = report {
        let _ = write!(said, "{}{}", report.outcome.sentence(), report.outcome.remedy());
    }
    let found = store::connection::find(&bench.store(), bench.tenant).await;
    let _ = write!(said, "{found:?}{:?}", secret::list(&bench.store(), bench.tenant).await);
    match connections.open(bench.tenant, bench.integration_id).await {
        Ok(open) => {
            let clients = open.call(|client| async move { client.clients().await }).await;
            let _ = write!(said, "{open:?}{:?}{clients:?}", open.client());
        }
        Err(error) => {
            let _ = write!(said, "{error}{error:?}{}", fault::chain(&error));
        }
    }
}

fn broken(simulator: &Simulator, path: &str, kind: FaultKind) {
    simulator.control().add_fault(Fault { path_prefix: path.to_owned(), kind, requests: Some(1) });
}

#[tokio::test]
async fn no_secret_is_in_any_log_span_report_error_or_debug() {
    let everything = Everything::default();
    let guard = tracing::subscriber::set_default(everything.clone());
    let (simulator, mut said) = (simulator().await, String::new());
    let url = simulator.base_url();

    // an unknown key, which the server refuses
    let bench = Bench::connected(&url, Who::Key("CANARYKEY00000000000000000000001")).await;
    use_it(&bench, None, &mut said).await;
    // a password that is wrong
    bench.save(&url, Who::User { name: "canary-user", password: "canary-password" }, DeviceSource::Classic).await;
    use_it(&bench, None, &mut said).await;
    // answers that hold what must not be repeated
    bench.save(&url, Who::user("plain"), DeviceSource::Classic).await;
    let echo = r#"{"totp": false, "token": ["canary-token"], "username": "canary-echo"}"#;
    broken(&simulator, "/v2/checkcreds/", FaultKind::Json { body: echo.to_owned() });
    use_it(&bench, None, &mut said).await;
    // a session, and its end
    use_it(&bench, None, &mut said).await;
    simulator.control().end_sessions();
    use_it(&bench, None, &mut said).await;
    let code = totp_code(simulator.control().now());
    let totp = Bench::connected(&url, Who::user("totp")).await;
    use_it(&totp, Some(&code), &mut said).await;
    drop(guard);

    let entered = [
        "CANARYKEY00000000000000000000001",
        "canary-password",
        "canary-token",
        tests::simulator::PASSWORD,
        code.as_str(),
    ];
    let mut all = canaries(&bench, &entered).await;
    all.extend(canaries(&totp, &[]).await);
    assert!(all.len() >= entered.len() + 3, "both sessions are there: {}", all.len());
    let logged = everything.text();
    assert!(
        logged.contains("/clients/") && said.contains("key_invalid") | said.contains("Unauthorized"),
        "something was said"
    );
    none_in(&said, &all);
    none_in(&logged, &all);
}

#[tokio::test]
async fn the_database_holds_no_secret_that_can_be_read() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    assert_eq!(bench.word(None).await, "ok");
    let mut connection = bench.database.connect().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('muster', 'public')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut rows = String::new();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("select coalesce(string_agg(t::text, ' '), '') from {table} t"));
        rows.push_str(&sqlx::query_scalar::<_, String>(sql).fetch_one(&mut connection).await.unwrap());
    }
    assert!(rows.contains(&bench.tenant.to_string()));
    let mut all = canaries(&bench, &[tests::simulator::PASSWORD]).await;
    // bytes are shown as hexadecimal digits
    all.extend(all.clone().iter().map(|text| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()));
    none_in(&rows, &all);
    assert!(matches!(bench.open().await, Ok(_) | Err(Error::LoginLater { .. })));
}
