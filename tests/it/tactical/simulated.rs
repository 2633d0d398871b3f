//! The client against the simulator: every list, paging, logging in, narrowed roles, and answers that go wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use ::tactical::{
    AgentFilter, AgentRow, AlertChange, AlertFilter, AuthFault, Client, Command, Config, Credential, Error, Gate,
    Stream, Wait,
};
use tests::simulator::{
    Control, Fault, FaultKind, PASSWORD, Role, SERVER_VERSION, Simulator, SimulatorConfig, key, totp_code,
};

use super::{client, local};
use crate::simulator::{small, start};

fn as_admin(simulator: &Simulator) -> Client {
    client(&local(), &simulator.base_url(), key::ADMIN)
}

async fn ids(stream: Result<Stream<AgentRow>, Error>) -> BTreeSet<String> {
    let agents = stream.expect("the list begins").collect().await.expect("the list is whole");
    agents.into_iter().map(|agent| agent.agent_id).collect()
}

fn of_client(control: &Control, client: i64) -> BTreeSet<String> {
    control.agents().into_iter().filter(|agent| agent.client.0 == client).map(|agent| agent.agent_id).collect()
}

#[tokio::test]
async fn every_list_says_what_is_true() {
    let simulator = small().await;
    let (control, client) = (simulator.control(), as_admin(&simulator));
    client.health().await.unwrap();
    assert_eq!(client.version().await.unwrap().trmm_version.as_deref(), Some(SERVER_VERSION));
    let truth = control.agents();
    let brief = client.brief_agents().await.unwrap().collect().await.unwrap();
    assert!(brief.iter().zip(&truth).all(|(found, agent)| (found.id, &found.agent_id) == (agent.pk, &agent.agent_id)));
    let rows = client.agents(&AgentFilter::default()).await.unwrap().collect().await.unwrap();
    assert_eq!((brief.len(), rows.len()), (truth.len(), truth.len()));
    for (row, agent) in rows.iter().zip(&truth) {
        assert_eq!(row.hostname.as_deref(), Some(agent.hostname.as_str()));
        assert_eq!(row.status.map(|status| status.as_str()), Some(agent.status.as_str()));
        assert_eq!(row.serial_number.clone().unwrap_or_default(), agent.serial_number);
        assert_eq!(row.client_name.as_ref(), Some(&agent.client.1));
    }
    let clients = client.clients().await.unwrap();
    assert_eq!((clients.len(), client.sites().await.unwrap().len()), (3, 6));
    for organization in clients {
        let filter = AgentFilter { client: Some(organization.id), ..AgentFilter::default() };
        let found = ids(client.agents(&filter).await).await;
        assert_eq!(found, of_client(&control, organization.id));
        assert_eq!(organization.agent_count, i64::try_from(found.len()).ok());
    }
    let detail = client.agent(&truth[0].agent_id).await.unwrap();
    assert_eq!((detail.site, detail.last_seen), (Some(truth[0].site.0), truth[0].last_seen));
    let reports = client.software().await.unwrap().collect().await.unwrap();
    assert!(!reports.is_empty() && reports.iter().all(|report| truth.iter().any(|agent| agent.pk == report.agent)));
}

#[tokio::test]
async fn alerts_are_listed_and_changed() {
    let simulator = small().await;
    let (control, client) = (simulator.control(), as_admin(&simulator));
    let open = AlertFilter { resolved_filter: Some(false), ..AlertFilter::default() };
    let listed = || async { client.alerts(&open).await.unwrap().collect().await.unwrap() };
    let before = listed().await;
    assert!(!before.is_empty() && before.len() < control.alerts().len());
    client.change_alert(before[0].id, AlertChange::Resolve).await.unwrap();
    assert!(listed().await.iter().all(|alert| alert.id != before[0].id));
    assert_eq!(client.alert(before[0].id).await.unwrap().resolved, Some(true));
}

#[tokio::test]
async fn the_beta_api_is_paged_to_its_end_or_said_to_be_off() {
    let simulator = start(SimulatorConfig { clients: 3, agents: 40, beta: true, ..SimulatorConfig::default() }).await;
    let (control, client) = (simulator.control(), as_admin(&simulator));
    client.beta_probe().await.unwrap();
    let (mut found, mut page) = (BTreeSet::new(), 1);
    loop {
        let answer = client
            .beta_agents(&tactical::AgentFilter { client: Some(1), ..Default::default() }, page, 5)
            .await
            .unwrap();
        found.extend(answer.results.into_iter().map(|agent| agent.agent_id));
        if !answer.has_next {
            break;
        }
        page += 1;
    }
    assert!(page > 1, "more than one page was needed");
    assert_eq!(found, of_client(&control, 1));
    assert!(matches!(
        client.beta_agents(&tactical::AgentFilter { client: Some(1), ..Default::default() }, page + 1, 5).await,
        Err(Error::NotFound { .. })
    ));
    control.set_beta(false);
    assert_eq!(client.beta_probe().await, Err(Error::BetaOff));
}

#[tokio::test]
async fn a_login_takes_its_code_and_ends_with_its_session() {
    let simulator = small().await;
    let password = PASSWORD.into();
    let nobody = client(&local(), &simulator.base_url(), "");
    assert_eq!(nobody.agents(&AgentFilter::default()).await.map(drop), Err(Error::Unauthorized(AuthFault::Missing)));
    let checked = nobody.check_credentials("totp", &password).await.unwrap();
    assert!(checked.needs_code && checked.token.is_none());
    assert_eq!(nobody.login("totp", &password, "000000").await.map(drop), Err(Error::BadCredentials));
    let session = nobody.login("totp", &password, &totp_code(simulator.control().now())).await.unwrap();
    let left = session.expires_at.unwrap() - simulator.control().now();
    assert_eq!(left.num_minutes(), 300);
    let credential = Some(Credential::Session(session.token));
    let session = Client::new(&local(), &simulator.base_url(), credential, Gate::new()).unwrap();
    assert_eq!(ids(session.agents(&AgentFilter::default()).await).await.len(), 40);
    session.logout().await.unwrap();
    assert_eq!(session.clients().await, Err(Error::Unauthorized(AuthFault::Invalid)));
    // an account without a second factor has its session at once
    let checked = nobody.check_credentials("plain", &password).await.unwrap();
    assert!(!checked.needs_code && checked.token.is_some());
}

#[tokio::test]
async fn a_throttled_login_is_not_tried_again_before_its_time() {
    let simulator = small().await;
    let (nobody, password) = (client(&local(), &simulator.base_url(), ""), "wrong".into());
    for _ in 0..10 {
        assert_eq!(nobody.login("totp", &password, "000000").await.map(drop), Err(Error::BadCredentials));
    }
    for _ in 0..3 {
        let error = nobody.login("totp", &password, "000000").await.map(drop).unwrap_err();
        let Error::Throttled { after: Some(after) } = error else { panic!("{error:?}") };
        assert!(after > Duration::ZERO && after <= Duration::from_secs(60), "{after:?}");
    }
    // the throttle is the logins' own
    nobody.health().await.unwrap();
}

#[tokio::test]
async fn a_role_sees_what_it_may_and_no_more() {
    let simulator = small().await;
    let control = simulator.control();
    let limited = client(&local(), &simulator.base_url(), key::LIMITED);
    assert_eq!(limited.clients().await.unwrap().len(), 1);
    assert_eq!(ids(limited.agents(&AgentFilter::default()).await).await, of_client(&control, 1));
    let foreign = of_client(&control, 2).into_iter().next().expect("client 2 has agents");
    assert!(matches!(limited.agent(&foreign).await, Err(Error::Forbidden { .. })));
    // a permission that goes away is a refusal, not an empty list
    control.set_role("limited", Role::with(&["can_list_agents"])).unwrap();
    assert!(matches!(limited.clients().await, Err(Error::Forbidden { .. })));
    assert_eq!(ids(limited.agents(&AgentFilter::default()).await).await.len(), 40);
    let nothing = client(&local(), &simulator.base_url(), key::EMPTY_ROLE);
    assert!(matches!(nothing.brief_agents().await, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn an_action_says_who_is_away() {
    let simulator = small().await;
    let (control, client) = (simulator.control(), as_admin(&simulator));
    let one = |status| control.agents().into_iter().find(|agent| agent.status == status);
    let (online, away) = (one("online").expect("most are online"), one("overdue").expect("some are overdue"));
    let command = Command { shell: "cmd".to_owned(), line: "hostname".to_owned(), timeout_s: 5, run_as_user: false };
    assert!(!client.run_command(&online.agent_id, &command).await.unwrap().is_empty());
    control.set_nats(false);
    assert_eq!(client.run_command(&online.agent_id, &command).await, Err(Error::NatsDown));
    control.set_nats(true);
    assert_eq!(client.run_command(&away.agent_id, &command).await, Err(Error::AgentAway));
}

/// How a list and an object fare under a fault.
async fn under(simulator: &Simulator, config: &Config, kind: FaultKind) -> (Result<usize, Error>, Result<(), Error>) {
    let control = simulator.control();
    control.clear_faults();
    control.add_fault(Fault { path_prefix: String::new(), kind, requests: None });
    let client = client(config, &simulator.base_url(), key::ADMIN);
    let list = match client.agents(&AgentFilter::default()).await {
        Ok(stream) => stream.collect().await.map(|agents| agents.len()),
        Err(error) => Err(error),
    };
    let agent = control.agent(1).expect("it exists").agent_id;
    let object = client.agent(&agent).await.map(drop);
    control.clear_faults();
    (list, object)
}

#[tokio::test]
async fn an_answer_that_goes_wrong_is_never_a_shorter_one() {
    let simulator = small().await;
    let (list, object) = ("/agents/", "/agents/{agent}/");
    let cut = || (Err(Error::Truncated { endpoint: list }), Err(Error::Truncated { endpoint: object }));
    assert_eq!(under(&simulator, &local(), FaultKind::Truncated { bytes: 5_000 }).await, cut());
    assert_eq!(under(&simulator, &local(), FaultKind::CutShort { bytes: 5_000 }).await, cut());
    let host = simulator.base_url()["http://".len()..].to_owned();
    let page = || Error::WrongHost { host: host.clone() };
    assert_eq!(under(&simulator, &local(), FaultKind::Html).await, (Err(page()), Err(page())));
    let slow = FaultKind::Slow { delay_ms: 400 };
    let hasty = Config { read_timeout_ms: 100, ..local() };
    let late = |endpoint| Error::Timeout { endpoint, wait: Wait::Read, after_ms: 100 };
    assert_eq!(under(&simulator, &hasty, slow.clone()).await, (Err(late(list)), Err(late(object))));
    assert_eq!(under(&simulator, &local(), slow).await, (Ok(40), Ok(())), "slow is not late");
    let odd = FaultKind::Json { body: r#"{"agents": []}"#.to_owned() };
    let (found, _) = under(&simulator, &local(), odd).await;
    assert!(matches!(found, Err(Error::Unreadable { .. })), "{found:?}");
}

#[tokio::test]
async fn a_server_that_asks_to_wait_or_fails_is_left_alone() {
    let simulator = small().await;
    let (list, object) = under(&simulator, &local(), FaultKind::TooManyRequests { retry_after_s: 7 }).await;
    assert_eq!(list, Err(Error::Throttled { after: Some(Duration::from_secs(7)) }));
    assert!(matches!(object, Err(Error::BreakerOpen { .. })), "{object:?}");

    let control = simulator.control();
    control.add_fault(Fault {
        path_prefix: String::new(),
        kind: FaultKind::ServerError { status: 502 },
        requests: Some(5),
    });
    let client = as_admin(&simulator);
    for _ in 0..5 {
        assert!(matches!(client.clients().await, Err(Error::Server { status: 502, .. })));
    }
    assert!(matches!(client.clients().await, Err(Error::BreakerOpen { .. })), "the sixth is not asked");
    as_admin(&simulator).clients().await.unwrap();
}
