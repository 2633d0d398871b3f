//! No secret gets out: not by an answer, a log line, a span or the audit. Only a rotation's answer holds one.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use store::token::Permission;
use tests::fleet::{Answer, PEPPER, VAULT_KEY};
use tests::otlp::OtlpReceiver;
use tests::simulator::{PASSWORD, SimulatorConfig, key, totp_code};
use tests::{DEADLINE, Fleet};

const TACTICAL: &str = "/integrations/tacticalrmm";
/// Everything of ours, in every detail.
const FILTER: &str = "info,lapin=off,console=trace,connection=trace,tactical=trace,store=trace,vault=trace";

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
async fn no_secret_is_answered_logged_traced_or_audited() {
    let receiver = OtlpReceiver::start();
    let server = SimulatorConfig { agents: 5, clients: 2, speed: 0.0, ..SimulatorConfig::default() };
    let builder = Fleet::builder().sync_workers(1).console().simulator(server);
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
    for what in ["clients", "devices"] {
        said.ask(&fleet, &token, Method::POST, &format!("{TACTICAL}/sync/{what}"), None).await;
    }
    said.ask(&fleet, &format!("{token}0"), Method::GET, TACTICAL, None).await;
    fleet.until_idle().await;
    // the one answer that may
    let rotated = fleet.ask(&token, Method::POST, &format!("{TACTICAL}/webhook/rotate"), None).await;
    let rotated = rotated.json["secret"].as_str().expect("a rotation answers with the secret").to_owned();
    said.ask(&fleet, &token, Method::GET, &format!("{TACTICAL}/webhook"), None).await;
    said.ask(&fleet, &token, Method::POST, &format!("{TACTICAL}/disconnect"), None).await;

    receiver.until(DEADLINE, |spans| spans.iter().any(|span| span.name.contains("disconnect"))).await;
    assert!(fleet.console().terminate(DEADLINE).await.success());
    for span in receiver.spans() {
        said.0.push((format!("span {}", span.name), format!("{} {:?}", span.name, span.attributes)));
    }
    let logs = [("console", fleet.console().log()), ("sync-worker", fleet.sync_worker(0).log())];
    said.0.extend(logs.into_iter().flat_map(|(name, log)| log.into_iter().map(move |line| (name.to_owned(), line))));
    let audit = audit(&fleet).await;
    assert!(audit.len() >= 8, "every change is in the audit: {audit:#?}");
    assert!(audit.iter().filter(|row| row.contains("the fleet's operator")).count() >= 7, "{audit:#?}");
    said.0.extend(audit.into_iter().map(|row| ("the audit".to_owned(), row)));
    said.none_of(&[
        ("the API key", key::ADMIN.to_owned()),
        ("the password", PASSWORD.to_owned()),
        ("the session's token", knox),
        ("the bearer token", token["muster_".len()..].to_owned()),
        ("the webhook's secret", fleet.connection().secret.clone()),
        ("the webhook's new secret", rotated),
        ("the vault's key", VAULT_KEY.to_owned()),
        ("the pepper", PEPPER.to_owned()),
    ]);
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
