//! What the incumbent gets wrong with devices, one test for each (numbers of the list in the contract's notes).
//!
//! Elsewhere: (1) and (3) in `tactical/mistakes.rs`, (4) in `connection/login.rs`, (7) in `connection/outcomes.rs`, (21) in
//! `sync/statements.rs`, (22) in `sync/racing.rs`, (26) and (28) in `sync/parts.rs`, (27) in `console/connecting.rs`.
//! (29) waits for the schedules: nothing starts a sync by itself yet.

use store::device::DeviceType;
use store::run::{Kind, State};
use tests::simulator::{Severity, key};
use tests::{DEADLINE, Fleet, until};

use super::{assert_true, assert_whole, assets, detail, synced, truths};

/// (5)
#[tokio::test]
async fn serial_number_lan_address_and_uptime_are_filled() {
    let fleet = synced(60).await;
    let (mut serials, mut addresses, mut boots) = (0, 0, 0);
    for (agent_id, asset) in assets(&fleet).await {
        let vitals = detail(&fleet, &agent_id).await.vitals;
        serials += usize::from(asset.serial_number.is_some());
        addresses += usize::from(vitals.lan_ip.is_some_and(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok()));
        boots +=
            usize::from(vitals.last_reboot_at.is_some() && vitals.uptime_seconds.is_some_and(|uptime| uptime >= 0));
    }
    let has_serial = truths(&fleet).values().filter(|truth| !truth.serial_number.is_empty()).count();
    assert_eq!(serials, has_serial);
    assert!(addresses > 30 && boots > 20, "{addresses} addresses and {boots} boot times of 60");
}

/// (6)
#[tokio::test]
async fn four_hundred_agents_cost_less_than_a_megabyte() {
    let fleet = super::mapped(400).await;
    let control = fleet.simulator().control();
    control.forget_served();
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let bytes: u64 = control.served().iter().map(|served| served.bytes).sum();
    let targets: Vec<String> = control.served().into_iter().map(|served| served.target).collect();
    assert!(bytes < 1_000_000, "{bytes} bytes by {targets:?}");
    assert_eq!(targets.len(), 1 + 4, "clients once, and a list for each: {targets:?}");
}

/// (2)
#[tokio::test]
async fn a_webhook_refreshes_its_device_by_the_agents_own_id() {
    let mut config = super::still(30);
    config.speed = 1.0;
    let fleet = Fleet::builder().workers(1).sync_workers(1).simulator(config).start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let control = fleet.simulator().control();
    let agent_id = control.agent(3).expect("it exists").agent_id;
    control.rename_agent(3, "renamed-since").expect("it exists");
    control.forget_served();
    control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens an alert");
    until(DEADLINE, async || {
        let asset = assets(&fleet).await.remove(&agent_id).expect("it is there");
        if asset.name == "renamed-since" { Ok(()) } else { Err(asset.name) }
    })
    .await;
    let asked: Vec<(String, u16)> = control.served().into_iter().map(|one| (one.target, one.status)).collect();
    assert_eq!(asked, [(format!("/agents/{agent_id}/"), 200)], "one request, of the agent itself");
    let vitals = detail(&fleet, &agent_id).await.vitals;
    assert!(vitals.disk_usage.is_some(), "a refresh brings what the list lacks");
    fleet.until_idle().await;
}

/// (23)
#[tokio::test]
async fn a_moved_agent_stays_one_asset() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let before = control.agent(5).expect("it exists");
    let asset = assets(&fleet).await.remove(&before.agent_id).expect("it is there");
    let goal = control.agents().into_iter().find(|agent| agent.client.0 != before.client.0).expect("another client");
    control.move_agent(5, goal.site.0).expect("it exists");
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.moved, run.counts.created, run.counts.missing), (State::Completed, 1, 0, 0));
    assert_true(&fleet, &truths(&fleet)).await;
    let moved = assets(&fleet).await.remove(&before.agent_id).expect("it is there");
    assert_eq!(moved.asset_id, asset.asset_id);
    assert_ne!(moved.client_id, asset.client_id);
}

/// (24)
#[tokio::test]
async fn changes_of_type_site_and_name_reach_existing_assets() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let before = control.agent(5).expect("it exists");
    let asset = assets(&fleet).await.remove(&before.agent_id).expect("it is there");
    let sibling = control.agents().into_iter().find(|agent| agent.client == before.client && agent.site != before.site);
    control.move_agent(5, sibling.expect("the client has two sites").site.0).expect("it exists");
    control.rename_agent(5, "Zürich-7").expect("it exists");
    let other = if before.monitoring_type == "server" { "workstation" } else { "server" };
    let body = serde_json::json!({"monitoring_type": other});
    fleet.tactical_put(&format!("/agents/{}/", before.agent_id), key::ADMIN, &body).await;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_true(&fleet, &truths(&fleet)).await;
    let after = assets(&fleet).await.remove(&before.agent_id).expect("it is there");
    assert_eq!((after.asset_id, after.asset_type.as_deref()), (asset.asset_id, Some(other)));
    assert_ne!(after.location, asset.location);
    assert_whole(&fleet).await;
}

/// (25)
#[tokio::test]
async fn a_status_follows_every_sync() {
    let fleet = synced(30).await;
    let control = fleet.simulator().control();
    control.agent_overdue(4).expect("it exists");
    control.agent_down(6).expect("it exists");
    control.advance(chrono::TimeDelta::minutes(6));
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let truths = truths(&fleet);
    let status = |pk| control.agent(pk).expect("it exists").status;
    assert_eq!((status(4).as_str(), status(6).as_str()), ("overdue", "offline"), "the simulator's own judgement");
    assert_true(&fleet, &truths).await;
    control.agent_up(4).expect("it exists");
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let agent_id = control.agent(4).expect("it exists").agent_id;
    assert_eq!(assets(&fleet).await[&agent_id].agent_status.as_deref(), Some("online"));
}

/// (30)
#[tokio::test]
async fn a_linux_server_is_a_server_and_its_system_is_linux() {
    let fleet = synced(80).await;
    let listed = fleet.tactical_get("/agents/", key::ADMIN).await;
    let (mut linux, mut windows) = (0, 0);
    for row in listed.as_array().expect("a list") {
        let agent_id = row["agent_id"].as_str().expect("a text");
        let found = detail(&fleet, agent_id).await;
        let expected = match row["plat"].as_str().expect("a text") {
            "darwin" => "macos",
            platform => platform,
        };
        assert_eq!(found.vitals.os_type.as_deref(), Some(expected), "{row}");
        assert_eq!(found.asset.asset_type.as_deref(), row["monitoring_type"].as_str(), "{row}");
        let system = row["operating_system"].as_str().unwrap_or_default();
        let is_server = found.asset.asset_type.as_deref().and_then(DeviceType::parse) == Some(DeviceType::Server);
        linux += usize::from(expected == "linux" && is_server);
        if expected == "windows" && !system.is_empty() {
            windows += 1;
            let version = found.asset.os_version.expect("it has one");
            assert!(version.starts_with("Windows ") && !version.contains("Microsoft"), "{version} of {system}");
        }
    }
    assert!(linux > 0 && windows > 0, "the simulator has both: {linux}, {windows}");
}

/// (31)
#[tokio::test]
async fn nobody_is_stored_as_no_user() {
    let fleet = synced(80).await;
    let listed = fleet.tactical_get("/agents/", key::ADMIN).await;
    let (mut nobody, mut somebody) = (0, 0);
    let assets = assets(&fleet).await;
    for row in listed.as_array().expect("a list") {
        let user = row["logged_username"].as_str().filter(|user| *user != "-" && row["italic"] == false);
        let asset = &assets[row["agent_id"].as_str().expect("a text")];
        assert_eq!(asset.current_user.as_deref(), user, "{row}");
        *if user.is_none() { &mut nobody } else { &mut somebody } += 1;
    }
    assert!(nobody > 0 && somebody > 0, "the simulator has both: {nobody}, {somebody}");
}
