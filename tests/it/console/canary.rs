//! No secret gets out: not by an answer, a log line, a span or a row. Only a rotation's answer holds one.

use lapin::BasicProperties;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use store::token::Permission;
use tests::fleet::{Answer, PEPPER, VAULT_KEY};
use tests::otlp::{OtlpReceiver, ReceivedSpan};
use tests::simulator::{PASSWORD, Severity, SimulatorConfig, key, totp_code};
use tests::{DEADLINE, Fleet, Process, until};

const TACTICAL: &str = "/integrations/tacticalrmm";
/// Everything of ours, in every detail.
const FILTER: &str = "info,lapin=off,console=trace,connection=trace,tactical=trace,store=trace,vault=trace,\
                      ingest_gateway=trace,alert_worker=trace,sync_worker=trace,worker=trace,broker=trace,listener=trace";
/// A key that no server knows, and a webhook's secret that is nobody's.
const WRONG: &str = "CANARYKEY00000000000000000000001";
/// Every program of the fleet, by the names of its spans' services.
const SERVICES: [&str; 4] = ["alert-worker", "console", "ingest-gateway", "sync-worker"];

/// What came out, by where.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    async fn ask(&mut self, fleet: &Fleet, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = fleet.ask(token, method.clone(), path, body.as_ref()).await;
        self.0.push((format!("the answer to {method} {path}"), answer.text.clone()));
        answer
    }

    fn none_of(&self, secrets: &[(&str, String)]) {
        for (name, secret) in secrets {
            assert!(secret.len() >= 8, "{name} is too short to be looked for");
            for (place, text) in &self.0 {
                assert!(!text.contains(secret.as_str()), "{name} stands in {place}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn no_secret_is_answered_logged_traced_or_stored() {
    let receiver = OtlpReceiver::start();
    let server = SimulatorConfig { agents: 5, clients: 2, online_percent: 100, ..SimulatorConfig::default() };
    let builder = Fleet::builder().workers(1).sync_workers(1).console().simulator(server);
    let settings = [("MUSTER_OTLP_URL", receiver.url()), ("MUSTER_OTLP_DELAY_MS", "50".to_owned())];
    let settings = settings.into_iter().chain(["MUSTER_LOG", "MUSTER_TRACE"].map(|name| (name, FILTER.to_owned())));
    let mut fleet = settings.fold(builder, |builder, (name, value)| builder.set(name, value)).start().await;
    let token = fleet.token(&Permission::ALL).await;
    let mut said = Said::default();

    connect_both_ways(&fleet, &token, &mut said).await;
    let knox = knox_token(&fleet).await;
    for path in ["", "/webhook", "/runs", "/organization-mappings", "/coverage", "/merge-proposals"] {
        said.ask(&fleet, &token, Method::GET, &format!("{TACTICAL}{path}"), None).await;
    }
    for path in ["/assets", "/alerts", "/assets?cursor=x"] {
        said.ask(&fleet, &token, Method::GET, path, None).await;
    }
    fleet.map_clients().await;
    sync(&fleet, &token, &mut said).await;
    said.ask(&fleet, &format!("{token}0"), Method::GET, TACTICAL, None).await;
    call(&fleet, &mut said).await;
    be_refused(&fleet, &token, &mut said).await;
    park(&mut fleet).await;
    said.0.extend(waiting(&mut fleet, &token).await);
    // the one answer that may
    let rotated = fleet.ask(&token, Method::POST, &format!("{TACTICAL}/webhook/rotate"), None).await;
    let rotated = rotated.json["secret"].as_str().expect("a rotation answers with the secret").to_owned();
    said.ask(&fleet, &token, Method::GET, &format!("{TACTICAL}/webhook"), None).await;
    let before = rows(&fleet).await;
    let has = |table: &str| before.iter().any(|(place, _)| place.ends_with(table));
    for table in ["muster.parked", "muster.audit", "muster.run", "muster.run_part", "muster.secret", ".rmm_alerts"] {
        assert!(has(table), "there is nothing in {table} to look through");
    }
    said.ask(&fleet, &token, Method::POST, &format!("{TACTICAL}/disconnect"), None).await;

    said.0.extend(before);
    said.0.extend(rows(&fleet).await);
    let audit = audit(&fleet).await;
    assert!(audit.len() >= 8, "every change is in the audit: {audit:#?}");
    assert!(audit.iter().filter(|row| row.contains("the fleet's operator")).count() >= 7, "{audit:#?}");
    let is_told = |service: &str, spans: &[ReceivedSpan]| spans.iter().any(|span| span.service == service);
    receiver.until(DEADLINE, |spans| spans.iter().any(|span| span.name.contains("disconnect"))).await;
    receiver.until(DEADLINE, |spans| SERVICES.iter().all(|service| is_told(service, spans))).await;
    logs(&mut fleet, &mut said).await;
    for span in receiver.spans() {
        said.0.push((format!("span {}", span.name), format!("{} {:?}", span.name, span.attributes)));
    }
    said.none_of(&[
        ("the API key", key::ADMIN.to_owned()),
        ("the refused API key, or secret", WRONG.to_owned()),
        ("the password", PASSWORD.to_owned()),
        ("the session's token", knox),
        ("the bearer token", token["muster_".len()..].to_owned()),
        ("the webhook's secret", fleet.connection().secret.clone()),
        ("the webhook's new secret", rotated),
        ("the vault's key", VAULT_KEY.to_owned()),
        ("the pepper", PEPPER.to_owned()),
    ]);
}

/// Both syncs to their ends.
async fn sync(fleet: &Fleet, token: &str, said: &mut Said) {
    for what in ["clients", "devices"] {
        let path = format!("{TACTICAL}/sync/{what}");
        let started = said.ask(fleet, token, Method::POST, &path, None).await;
        let run_id = started.json["run_id"].as_str().and_then(|id| id.parse().ok()).expect("a run has an id");
        fleet.ended(run_id).await;
        said.ask(fleet, token, Method::GET, &format!("{TACTICAL}/runs/{run_id}"), None).await;
    }
}

/// Webhooks that are taken, that say nothing, and that are nobody's.
async fn call(fleet: &Fleet, said: &mut Said) {
    let control = fleet.simulator().control();
    control.fail_check(3, 1, Severity::Error).expect("the agent exists").expect("it opens");
    let good = fleet.connection().secret.as_str();
    for (secret, body) in [(good, "not JSON"), (good, "{}"), (WRONG, "{}"), ("", "")] {
        let call = reqwest::Client::new().post(fleet.webhook_url()).header("X-Alga-Webhook-Secret", secret).body(body);
        let answer = call.send().await.expect("the gateway answers");
        let status = answer.status();
        let text = answer.text().await.expect("the gateway ends its answer");
        said.0.push((format!("the gateway's answer {status}"), text));
    }
    let store = fleet.store();
    let filter = store::view::AlertFilter::default();
    until(DEADLINE, async || {
        let page = store::view::alerts(&store, fleet.connection().tenant, &filter, None, 10).await;
        if page.as_ref().is_ok_and(|alerts| !alerts.is_empty()) { Ok(()) } else { Err(format!("{page:?}")) }
    })
    .await;
    fleet.until_idle().await;
}

/// A key that the server does not know: the test says so, and a sync fails with its cause.
async fn be_refused(fleet: &Fleet, token: &str, said: &mut Said) {
    said.ask(fleet, token, Method::PUT, TACTICAL, Some(json!({"api_key": WRONG}))).await;
    let test = format!("{TACTICAL}/test");
    let refused = said.ask(fleet, token, Method::POST, &test, None).await;
    assert_eq!(refused.json["outcome"], "key_invalid", "{refused:?}");
    sync(fleet, token, said).await;
    said.ask(fleet, token, Method::GET, &format!("{TACTICAL}/runs?state=failed"), None).await;
    said.ask(fleet, token, Method::GET, &format!("{TACTICAL}/coverage"), None).await;
    said.ask(fleet, token, Method::PUT, TACTICAL, Some(json!({"api_key": key::ADMIN}))).await;
}

/// A message that nobody can read.
async fn park(fleet: &mut Fleet) {
    assert!(fleet.amqp().publish("muster.work", "nobody.main.x", BasicProperties::default(), b"lost").await);
    fleet.expect_parked(1);
    let store = fleet.store();
    until(DEADLINE, async || match store::parked::count(&store).await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// The rows while a message lies in the outbox: whoever would send it is stopped.
async fn waiting(fleet: &mut Fleet, token: &str) -> Vec<(String, String)> {
    let stop = async |process: &Process| {
        process.signal("STOP");
        let stat = format!("/proc/{}/stat", process.pid());
        until(DEADLINE, async || {
            let stat = std::fs::read_to_string(&stat).map_err(|error| error.to_string())?;
            if stat.contains(") T ") { Ok(()) } else { Err(stat) }
        })
        .await;
    };
    stop(fleet.worker(0)).await;
    stop(fleet.sync_worker(0)).await;
    let started = fleet.ask(token, Method::POST, &format!("{TACTICAL}/sync/devices"), None).await;
    let found = rows(fleet).await;
    fleet.worker(0).signal("CONT");
    fleet.sync_worker(0).signal("CONT");
    let run_id = started.json["run_id"].as_str().and_then(|id| id.parse().ok()).expect("a run has an id");
    let (_, message) =
        found.iter().find(|(place, _)| place.ends_with("muster.outbox")).expect("its message lies there");
    assert!(message.contains(&format!("\"run_id\":\"{run_id}\"")), "bytes are read: {message}");
    fleet.ended(run_id).await;
    fleet.until_idle().await;
    found
}

/// The logs of all programs, which end here.
async fn logs(fleet: &mut Fleet, said: &mut Said) {
    let ended = async |name: &str, process: &mut Process| {
        assert!(process.terminate(DEADLINE * 2).await.success(), "{name} ends well");
        let log = process.log();
        let is_mute = |line: &&String| line.contains(r#""error":"""#);
        assert_eq!(log.iter().find(is_mute), None, "{name}: a failure is logged with its cause");
        assert!((2..tests::process::LOG_LINES_MAX).contains(&log.len()), "{name}: {} lines are not all", log.len());
        log.into_iter().map(|line| (format!("the log of {name}"), line)).collect::<Vec<_>>()
    };
    said.0.extend(ended("the console", fleet.console()).await);
    said.0.extend(ended("the gateway", fleet.gateway()).await);
    said.0.extend(ended("the alert worker", fleet.worker(0)).await);
    said.0.extend(ended("the sync worker", fleet.sync_worker(0)).await);
}

/// Every row of every table: outbox, parked, audit, runs and all else. Bytes are shown as they are where they are text.
async fn rows(fleet: &Fleet) -> Vec<(String, String)> {
    let mut database = fleet.database().connect().await;
    let tables =
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('muster', 'public')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut database).await.expect("it answers");
    let mut found = Vec::new();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut database).await.expect("it answers");
        // bytea stands there as hexadecimal digits
        let read = |row: &str| {
            let parts =
                row.split(['"', ',', '(', ')']).filter_map(|part| part.trim_start_matches('\\').strip_prefix('x'));
            parts.map(unhex).collect::<Vec<_>>().join(" ")
        };
        found.extend(rows.into_iter().map(|row| (format!("a row of {table}"), format!("{row} {}", read(&row)))));
    }
    found
}

fn unhex(digits: &str) -> String {
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Vec<u8> = digits.as_bytes().chunks(2).filter_map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// By user and password with a code, and by an API key; with what is refused on the way.
async fn connect_both_ways(fleet: &Fleet, token: &str, said: &mut Said) {
    let test = format!("{TACTICAL}/test");
    let url = fleet.simulator().base_url();
    for settings in [
        json!({"instance_url": url, "apikey": key::ADMIN}),
        json!({"instance_url": url, "auth_mode": key::ADMIN}),
        json!({"instance_url": format!("https://{}@example.com", key::ADMIN)}),
        json!({"instance_url": url, "password": [PASSWORD]}),
    ] {
        let refused = said.ask(fleet, token, Method::PUT, TACTICAL, Some(settings)).await;
        assert!([400, 422].contains(&refused.status), "{refused:?}");
    }
    let login = json!({"instance_url": url, "auth_mode": "knox", "username": "totp", "password": PASSWORD});
    assert_eq!(said.ask(fleet, token, Method::PUT, TACTICAL, Some(login)).await.status, 200);
    let asked = said.ask(fleet, token, Method::POST, &test, None).await;
    assert_eq!(asked.json["outcome"], "code_needed", "{asked:?}");
    let code = totp_code(fleet.simulator().control().now());
    let logged_in = said.ask(fleet, token, Method::POST, &test, Some(json!({ "code": code }))).await;
    assert_eq!(logged_in.json["is_active"], true, "{logged_in:?}");
}

/// The session's token, as it lies in the vault; after this the connection has an API key.
async fn knox_token(fleet: &Fleet) -> String {
    let tenant = fleet.connection().tenant;
    let name = store::secret::KNOX_TOKEN;
    let sealed = store::secret::get(&fleet.store(), tenant, name).await.expect("the database answers");
    let sealed = sealed.expect("a login leaves its token");
    let text = connection::unseal(&tests::fleet::vault(), tenant, name, &sealed).expect("the fleet has the key");
    fleet.connect_tactical(key::ADMIN).await;
    text.expose_secret().to_owned()
}

async fn audit(fleet: &Fleet) -> Vec<String> {
    let mut database = fleet.database().connect().await;
    let rows = sqlx::query_scalar("select row_to_json(a)::text from muster.audit a order by audit_id");
    rows.fetch_all(&mut database).await.expect("the audit can be read")
}
