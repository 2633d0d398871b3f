//! The beta list as the source of a whole fleet: pages that end, move while they are read, or are switched off in the middle.

use store::connection::DeviceSource;
use store::run::{Kind, PartState, State};
use tests::simulator::{Control, FaultKind, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};

use super::{assert_whole, assets, counts, fault, part, still, truths, versions};

/// Two pages of 200 devices are read exactly; one more device begins a third.
const PAGE: u32 = 200;

/// A fleet whose connection reads the beta list, of so many agents in one client, mapped and not synced yet.
async fn mapped(agents: u32) -> Fleet {
    let config = SimulatorConfig { clients: 1, beta: true, ..still(agents) };
    let fleet = Fleet::builder().without_gateway().sync_workers(1).simulator(config).start().await;
    fleet.save_key(key::SYNC, DeviceSource::Beta).await;
    fleet.test_connection().await;
    fleet.map_clients().await;
    fleet
}

async fn synced(agents: u32) -> Fleet {
    let fleet = mapped(agents).await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.error, run.counts.created), (State::Completed, None, i64::from(agents)));
    fleet
}

fn target(page: u32) -> String {
    format!("/beta/v1/agent/?client_id=1&page={page}&page_size={PAGE}")
}

/// The lists of devices that were asked for, of both kinds.
fn lists(control: &Control) -> Vec<String> {
    let targets = control.served().into_iter().map(|served| served.target);
    targets.filter(|target| target.starts_with("/beta/") || target.starts_with("/agents/")).collect()
}

/// Fails unless Postgres shows exactly the simulator's agents, with what the beta list tells of them.
async fn assert_true(fleet: &Fleet) {
    let (assets, truths) = (assets(fleet).await, truths(fleet));
    let present: Vec<&String> =
        assets.iter().filter(|(_, asset)| asset.missing_since.is_none()).map(|(agent_id, _)| agent_id).collect();
    assert_eq!(present, truths.keys().collect::<Vec<_>>());
    for (agent_id, truth) in truths {
        let asset = &assets[&agent_id];
        let shown = (asset.name.as_str(), asset.asset_type.as_deref(), asset.agent_status.as_deref());
        let expected = (truth.hostname.as_str(), Some(truth.monitoring_type.as_str()), Some(truth.status.as_str()));
        assert_eq!((shown, asset.last_seen_at), (expected, truth.last_seen), "{agent_id}");
        let place = (asset.organization_id.as_deref(), asset.client_name.as_deref(), asset.location.as_deref());
        assert_eq!(place, (Some("1"), Some(truth.client.1.as_str()), Some(truth.site.1.as_str())), "{agent_id}");
    }
    assert_whole(fleet).await;
}

/// Waits until a page is asked for, whose answer is made a second later.
async fn until_asked(control: &Control, page: u32) {
    until(DEADLINE, async || match control.asked() {
        asked if asked.contains(&target(page)) => Ok(()),
        asked => Err(asked),
    })
    .await;
}

#[tokio::test]
async fn a_fleet_is_read_page_by_page_up_to_the_last_and_no_further() {
    for (agents, pages) in [(2 * PAGE, 2), (2 * PAGE + 1, 3)] {
        let fleet = mapped(agents).await;
        let control = fleet.simulator().control();
        control.forget_served();
        let (run, parts) = fleet.sync(Kind::Devices).await;
        assert_eq!((run.state, run.error.as_deref(), parts.len()), (State::Completed, None, 1));
        assert_eq!(counts(&run), (i64::from(agents), 0, 0));
        assert_eq!(lists(&control), (1..=pages).map(target).collect::<Vec<_>>());
        assert_true(&fleet).await;
        let before = versions(&fleet).await;
        let (again, _) = fleet.sync(Kind::Devices).await;
        assert_eq!((again.state, counts(&again)), (State::Completed, (0, 0, i64::from(agents))));
        assert_eq!(versions(&fleet).await, before, "what is as it was is not written");
    }
}

#[tokio::test]
async fn a_client_of_more_devices_than_a_part_is_read_by_site() {
    let fleet = mapped(520).await;
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.error, run.counts.created), (State::Completed, None, 520));
    assert!(parts.len() == 2 && parts.iter().all(|part| part.name.starts_with("site:")), "{parts:#?}");
    assert_true(&fleet).await;
    let control = fleet.simulator().control();
    control.delete_agent(7).expect("it exists");
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Completed, 1));
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_device_that_slips_to_the_page_before_while_it_is_read_is_not_missing() {
    let fleet = synced(2 * PAGE + 50).await;
    let control = fleet.simulator().control();
    control.forget_served();
    fault(&fleet, &target(2), FaultKind::Held);
    let run_id = fleet.start_run(Kind::Devices).await;
    until_asked(&control, 2).await;
    // the first of the second page becomes the last of the first, which has been read
    let deleted = control.agent(1).expect("it exists").agent_id;
    control.delete_agent(1).expect("it exists");
    control.clear_faults();
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.counts.seen, run.counts.missing), (State::Completed, i64::from(2 * PAGE + 49), 0));
    let marked: Vec<String> =
        assets(&fleet).await.into_iter().filter(|(_, asset)| asset.missing_since.is_some()).map(|(id, _)| id).collect();
    assert_eq!(marked, [""; 0], "one was seen, the other stands in the second list");
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.created, run.counts.missing), (State::Completed, 0, 1));
    assert!(assets(&fleet).await[&deleted].missing_since.is_some());
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_beta_api_that_is_switched_off_in_the_middle_fails_the_part_with_a_remedy_and_marks_nothing() {
    let fleet = synced(2 * PAGE + 1).await;
    let control = fleet.simulator().control();
    let before = versions(&fleet).await;
    control.forget_served();
    fault(&fleet, &target(2), FaultKind::Held);
    let run_id = fleet.start_run(Kind::Devices).await;
    until_asked(&control, 2).await;
    control.set_beta(false);
    control.clear_faults();
    let (run, parts) = fleet.ended(run_id).await;
    assert_eq!((run.state, part(&parts, "client:1").state, parts.len()), (State::Failed, PartState::Failed, 1));
    let cause = part(&parts, "client:1").error.as_deref().expect("it says why");
    assert!(cause.contains("the beta API is off") && cause.contains("BETA_API_ENABLED"), "{cause}");
    assert_eq!((run.counts.missing, versions(&fleet).await), (0, before));
    control.set_beta(true);
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_page_that_breaks_off_is_read_again_with_the_whole_part() {
    let fleet = mapped(PAGE + 1).await;
    let kind = FaultKind::Truncated { bytes: 2_000 };
    let broken = tests::simulator::Fault { path_prefix: target(2), kind, requests: Some(1) };
    fleet.simulator().control().add_fault(broken);
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, part(&parts, "client:1").attempt), (State::Completed, 2));
    assert_eq!(run.counts.seen, i64::from(PAGE + 1), "rows of the attempt that broke off are not counted twice");
    assert_true(&fleet).await;
}
