//! Clients, sites and machines that come and go, and a server that goes back to a backup.

use chrono::TimeDelta;
use serde_json::json;
use tests::simulator::{Severity, key};

use super::{get, small};

#[tokio::test]
async fn a_deleted_client_is_gone_with_its_sites_and_its_agents_move_or_go_with_it() {
    for move_to in [Some(1), None] {
        let simulator = small().await;
        let control = simulator.control();
        let theirs: Vec<_> = control.agents().into_iter().filter(|agent| agent.client.0 == 2).collect();
        let alert = control.fail_check(theirs[0].pk, 1, Severity::Error).unwrap().expect("it opens");
        control.delete_client(2, move_to).unwrap();
        let missing = (404, json!({"detail": "No Client matches the given query."}));
        assert_eq!(get(&simulator, "/clients/2/", key::ADMIN).await, missing);
        assert_eq!(get(&simulator, "/clients/", key::ADMIN).await.1.as_array().map(Vec::len), Some(2));
        assert!(control.sites().iter().all(|(_, client)| *client != 2));
        let left: Vec<_> = theirs.iter().filter_map(|agent| control.agent(agent.pk).ok()).collect();
        assert_eq!(left.len(), if move_to.is_some() { theirs.len() } else { 0 });
        assert!(left.iter().all(|agent| agent.site.0 == 1));
        let status = get(&simulator, &format!("/alerts/{alert}/"), key::ADMIN).await.0;
        assert_eq!(status, if move_to.is_some() { 200 } else { 404 });
        assert!(control.delete_client(2, None).is_err() && control.delete_site(2, None).is_err());
    }
}

#[tokio::test]
async fn a_new_agent_is_another_machine_and_nobody_elses_id() {
    let simulator = small().await;
    let control = simulator.control();
    let before = control.agents();
    let pk = control.add_agent(3).unwrap();
    let added = control.agent(pk).unwrap();
    assert_eq!((added.site.0, added.status.as_str()), (3, "online"));
    assert!(before.iter().all(|agent| agent.agent_id != added.agent_id));
    let (status, row) = get(&simulator, &format!("/agents/{}/", added.agent_id), key::ADMIN).await;
    assert_eq!((status, &row["hostname"]), (200, &json!(added.hostname)));
    assert!(control.add_agent(99).is_err());
}

#[tokio::test]
async fn who_is_logged_in_and_what_it_is_watched_as_are_shown() {
    let simulator = small().await;
    let control = simulator.control();
    let shown = async |field: &str| {
        let rows = get(&simulator, "/agents/", key::ADMIN).await.1;
        let agent_id = control.agent(1).unwrap().agent_id;
        let row = rows.as_array().unwrap().iter().find(|row| row["agent_id"] == agent_id.as_str()).unwrap();
        row[field].clone()
    };
    control.set_user(1, Some("anna")).unwrap();
    assert_eq!((shown("logged_username").await, shown("italic").await), (json!("anna"), json!(false)));
    control.set_user(1, None).unwrap();
    control.agent_overdue(1).unwrap();
    assert_eq!(shown("logged_username").await, json!("-"), "as of every agent without a user that is away");
    control.set_monitoring_type(1, "server").unwrap();
    assert_eq!(shown("monitoring_type").await, json!("server"));
}

#[tokio::test]
async fn a_program_is_replaced_and_not_added() {
    let simulator = small().await;
    let control = simulator.control();
    let old = control.programs(1).unwrap().remove(0);
    control.update(1, tests::simulator::Program { version: "99".to_owned(), ..old.clone() }).unwrap();
    let versions: Vec<String> =
        control.programs(1).unwrap().into_iter().filter(|one| one.name == old.name).map(|one| one.version).collect();
    assert_eq!(versions, ["99"]);
}

#[tokio::test]
async fn a_restored_server_is_what_it_was_and_gives_numbers_again_but_no_ids() {
    let simulator = small().await;
    let control = simulator.control();
    let open = control.fail_check(1, 1, Severity::Error).unwrap().expect("it opens");
    let (before, backup) = (control.agents(), control.back_up());
    control.pass_check(1, 1).unwrap();
    control.delete_agent(4).unwrap();
    control.rename_agent(6, "renamed").unwrap();
    control.delete_client(3, Some(1)).unwrap();
    let gone = control.agent(control.reinstall_agent(8).unwrap()).unwrap();
    let taken = control.fail_check(7, 1, Severity::Warning).unwrap().expect("it opens");
    control.advance(TimeDelta::minutes(1));
    control.restore(&backup);
    let names = |agents: Vec<tests::simulator::AgentTruth>| -> Vec<_> {
        agents.into_iter().map(|agent| (agent.agent_id, agent.hostname, agent.site)).collect()
    };
    assert_eq!(names(control.agents()), names(before));
    assert!(control.open_alerts().iter().any(|(number, ..)| *number == open), "what was resolved since is open");
    assert_eq!(control.raise(None, Severity::Info, "again"), Ok(taken), "numbers are given again");
    let truths = control.alerts();
    let newest = truths.iter().rfind(|truth| truth.alert_id == taken).expect("it is known");
    assert_eq!((newest.generation, newest.agent_id.as_deref(), newest.hidden), (1, None, false));
    let again = control.agent(control.reinstall_agent(8).unwrap()).unwrap();
    assert_ne!(again.agent_id, gone.agent_id);
}
