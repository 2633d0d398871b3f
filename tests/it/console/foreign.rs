//! What another tenant has cannot be seen, named or changed: real ids are answered as ids that nothing has.

use reqwest::Method;
use serde_json::{Value, json};
use store::audit::Entry;
use store::run::Kind;
use store::software::{self, ChangeFilter};
use store::tenant::{self, NewConnection};
use store::token::{self, NewToken, Permission};
use store::view::{self, AlertFilter};
use tests::fleet::Answer;
use tests::simulator::{Program, Severity, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};
use uuid::Uuid;

/// What the first tenant has.
struct Theirs {
    run: Uuid,
    mapping: Uuid,
    client: Uuid,
    asset: Uuid,
    agent_id: String,
    alert: Uuid,
    proposal: Uuid,
}

/// Another tenant with a connection and a mapping of its own, and a token that may do everything there.
struct Stranger<'a> {
    fleet: &'a Fleet,
    tenant: Uuid,
    mapping: Uuid,
    token: String,
}

impl<'a> Stranger<'a> {
    async fn new(fleet: &'a Fleet) -> Self {
        let (store, tenant, mapping) = (fleet.store(), Uuid::new_v4(), Uuid::new_v4());
        let new = NewConnection {
            tenant,
            client_name: "A stranger".to_owned(),
            instance_url: Some("https://api.example.com".to_owned()),
            digest: Some(store::hook::digest(tests::fleet::PEPPER.as_bytes(), "a secret of their own")),
            grace: std::time::Duration::ZERO,
        };
        let integration = tenant::connect(&store, &new, "a test").await.expect("a tenant can be made").integration_id;
        let mapped = format!(
            "insert into rmm_organization_mappings
                 (tenant, integration_id, mapping_id, external_organization_id, external_organization_name)
             values ('{tenant}', '{integration}', '{mapping}', '1', 'A stranger')"
        );
        fleet.database().execute(&mapped).await;
        let new = NewToken {
            tenant: Some(tenant),
            name: "a stranger".to_owned(),
            permissions: Permission::ALL.to_vec(),
            expires_at: None,
        };
        let entry = Entry {
            tenant: Some(tenant),
            actor: "a test".to_owned(),
            action: "test",
            subject: None,
            detail: json!({}),
        };
        let (_, token) = token::add(&store, &new, &entry).await.expect("a token can be made");
        Self { fleet, tenant, mapping, token: secrecy::ExposeSecret::expose_secret(&token).to_owned() }
    }

    async fn ask(&self, tenant: Uuid, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/api/v1/tenants/{tenant}{path}", self.fleet.console_url());
        let request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        let request = if let Some(body) = body { request.json(body) } else { request };
        let answer = request.send().await.expect("the console answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the console ends its answer");
        Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }
}

/// Devices, one of them reinstalled, and an alert.
async fn theirs(fleet: &Fleet) -> Theirs {
    fleet.connect_tactical(key::ADMIN).await;
    fleet.map_clients().await;
    fleet.sync(Kind::Devices).await;
    let control = fleet.simulator().control();
    with_software(fleet).await;
    let has_serial = |pk: &i64| !control.agent(*pk).expect("it exists").serial_number.is_empty();
    control.reinstall_agent((1..20).find(has_serial).expect("one has a serial number")).expect("it exists");
    let run = fleet.sync(Kind::Devices).await.0.run_id;
    let pk = 20;
    control.fail_check(pk, 1, Severity::Error).expect("the agent exists").expect("it opens");
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let alert = until(DEADLINE, async || {
        let page = view::alerts(&store, tenant, &AlertFilter::default(), None, 10).await.expect("it answers");
        page.first().map(|alert| alert.alert_id).ok_or("no alert")
    })
    .await;
    fleet.until_idle().await;
    let assets = view::assets(&store, tenant, &view::AssetFilter::default(), None, 100).await.expect("it answers");
    let agent_id = control.agent(pk).expect("it exists").agent_id;
    let asset = assets.iter().find(|asset| asset.agent_id.as_ref() == Some(&agent_id)).expect("it is synced");
    let mappings = store::organization::list(&store, tenant).await.expect("it answers");
    let proposals = store::merge::list(&store, tenant).await.expect("it answers");
    Theirs {
        run,
        mapping: mappings[0].mapping_id,
        client: mappings[0].client.as_ref().expect("it is mapped").client_id,
        asset: asset.asset_id,
        agent_id,
        alert,
        proposal: proposals.first().expect("the reinstalled one is proposed").proposal_id,
    }
}

/// Programs, and a change of them.
async fn with_software(fleet: &Fleet) {
    fleet.sync(Kind::Software).await;
    let control = fleet.simulator().control();
    let mut agents = control.agents().into_iter().map(|agent| agent.pk);
    let has_any = |pk: &i64| control.programs(*pk).is_ok_and(|programs| !programs.is_empty());
    let pk = agents.find(has_any).expect("one has software");
    let program = Program { name: "New".to_owned(), version: "1".to_owned(), ..Program::default() };
    control.install(pk, program).expect("it exists");
    fleet.sync(Kind::Software).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let changes = software::changes(&store, tenant, &ChangeFilter::default(), None, 10).await.expect("it answers");
    assert!(!changes.is_empty(), "there is something that a stranger could see");
}

/// Every row of the first tenant.
async fn rows(fleet: &Fleet) -> Vec<String> {
    let mut database = fleet.database().connect().await;
    let tables = "select table_schema || '.' || table_name from information_schema.columns
                  join information_schema.tables using (table_schema, table_name)
                  where column_name = 'tenant' and table_type = 'BASE TABLE' and table_schema in ('public', 'muster')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut database).await.expect("it answers");
    let mut rows = Vec::new();
    for table in tables {
        let sql = format!("select '{table} ' || t::text from {table} t where tenant = $1 order by 1");
        let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).bind(fleet.connection().tenant);
        rows.extend(query.fetch_all(&mut database).await.expect("it answers"));
    }
    rows
}

#[tokio::test]
async fn a_foreign_tenants_run_mapping_asset_alert_and_proposal_are_as_if_they_were_not() {
    let server = SimulatorConfig {
        agents: 30,
        clients: 2,
        sites_per_client: 1,
        online_percent: 100,
        ..SimulatorConfig::default()
    };
    let fleet =
        Fleet::builder().workers(1).sync_workers(1).inventory_workers(1).console().simulator(server).start().await;
    let (theirs, stranger) = (theirs(&fleet).await, Stranger::new(&fleet).await);
    let before = rows(&fleet).await;
    let unknown = Uuid::from_u128(0xabc);
    let off = json!({"auto_sync": false});
    let tactical = "/integrations/tacticalrmm";
    for (method, path, id, body) in [
        (Method::GET, format!("{tactical}/runs/{{}}"), theirs.run, None),
        (Method::PATCH, format!("{tactical}/organization-mappings/{{}}"), theirs.mapping, Some(&off)),
        (Method::GET, "/assets/{}".to_owned(), theirs.asset, None),
        (Method::GET, "/assets/{}/software".to_owned(), theirs.asset, None),
        (Method::POST, "/alerts/{}/resolve".to_owned(), theirs.alert, None),
        (Method::POST, "/alerts/{}/acknowledge".to_owned(), theirs.alert, None),
        (Method::POST, format!("{tactical}/merge-proposals/{{}}/accept"), theirs.proposal, None),
        (Method::POST, format!("{tactical}/merge-proposals/{{}}/dismiss"), theirs.proposal, None),
    ] {
        let ask = async |tenant: Uuid, id: Uuid| {
            stranger.ask(tenant, method.clone(), &path.replace("{}", &id.to_string()), body).await
        };
        let (real, none) = (ask(stranger.tenant, id).await, ask(stranger.tenant, unknown).await);
        assert_eq!((real.status, &real.text), (404, &none.text), "{method} {path}");
        // nor by way of the tenant that has it, which is no tenant to the stranger
        let (real, none) = (ask(fleet.connection().tenant, id).await, ask(unknown, id).await);
        assert_eq!((real.status, &real.text), (404, &none.text), "{method} {path}");
    }
    foreign_ids_in_bodies(&stranger, &theirs, unknown).await;
    lists_are_empty(&stranger, &theirs).await;
    assert_eq!(rows(&fleet).await, before, "nothing of theirs has changed");
}

async fn foreign_ids_in_bodies(stranger: &Stranger<'_>, theirs: &Theirs, unknown: Uuid) {
    let path = "/integrations/tacticalrmm/organization-mappings";
    let patch = async |mapping_id: Uuid, client_id: Uuid| {
        let body = json!({"mappings": [{"mapping_id": mapping_id, "client_id": client_id}]});
        stranger.ask(stranger.tenant, Method::PATCH, path, Some(&body)).await
    };
    let (real, none) = (patch(theirs.mapping, unknown).await, patch(unknown, unknown).await);
    assert_eq!((real.status, &real.text), (404, &none.text));
    let (real, none) = (patch(stranger.mapping, theirs.client).await, patch(stranger.mapping, unknown).await);
    assert!(real.status >= 400 && !real.json.is_null(), "{real:?}");
    let neutral = |answer: &Answer, id: Uuid| answer.text.replace(&id.to_string(), "the client");
    assert_eq!((real.status, neutral(&real, theirs.client)), (none.status, neutral(&none, unknown)));
}

async fn lists_are_empty(stranger: &Stranger<'_>, theirs: &Theirs) {
    for (path, name) in [
        ("/assets".to_owned(), "assets"),
        (format!("/assets?client_id={}", theirs.client), "assets"),
        ("/alerts".to_owned(), "alerts"),
        ("/software".to_owned(), "software"),
        ("/software/changes".to_owned(), "changes"),
        (format!("/software/changes?asset_id={}", theirs.asset), "changes"),
        (format!("/alerts?agent={}", theirs.agent_id), "alerts"),
        ("/integrations/tacticalrmm/runs".to_owned(), "runs"),
        ("/integrations/tacticalrmm/merge-proposals".to_owned(), "merge_proposals"),
    ] {
        let answer = stranger.ask(stranger.tenant, Method::GET, &path, None).await;
        assert_eq!((answer.status, &answer.json[name]), (200, &json!([])), "{path}: {answer:?}");
    }
}
