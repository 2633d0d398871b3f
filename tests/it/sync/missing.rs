//! Devices that are gone: marked once two lists say so, and never by a list that cannot be the whole truth.

use store::run::{Kind, PartState, State};
use tests::Fleet;
use tests::simulator::{FaultKind, Role, key};

use super::{answer, assert_true, assert_whole, assets, fault, part, synced, truths};

/// The agents that are marked as missing.
async fn missing(fleet: &Fleet) -> Vec<String> {
    let assets = assets(fleet).await;
    assets.into_iter().filter(|(_, asset)| asset.missing_since.is_some()).map(|(agent_id, _)| agent_id).collect()
}

#[tokio::test]
async fn a_vanished_agent_is_marked_after_a_second_list_confirms_it_and_its_asset_stays() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let gone = control.agent(7).expect("it exists").agent_id;
    let before = assets(&fleet).await.remove(&gone).expect("it was imported");
    control.delete_agent(7).expect("it exists");
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Completed, 1));
    assert_eq!((part(&parts, "confirm").state, part(&parts, "confirm").counts.missing), (PartState::Done, 1));
    let after = assets(&fleet).await.remove(&gone).expect("the asset stays");
    assert!(after.missing_since.is_some());
    assert_eq!((after.asset_id, after.status, after.client_id), (before.asset_id, before.status, before.client_id));
    assert_eq!(after.status_observed_at, before.status_observed_at, "its status was not seen again");
    let (again, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((again.state, again.counts.missing), (State::Completed, 0), "it is told once: {parts:#?}");
    assert_whole(&fleet).await;
}

#[tokio::test]
async fn a_reinstalled_agent_is_a_device_of_its_own_until_a_person_merges_them() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let serial = |pk| control.agent(pk).expect("it exists").serial_number;
    let pk = (1..40).find(|pk| !serial(*pk).is_empty()).expect("one has a serial number");
    let old = control.agent(pk).expect("it exists").agent_id;
    let new = control.reinstall_agent(pk).expect("it exists");
    let new = control.agent(new).expect("it exists").agent_id;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_eq!(missing(&fleet).await, std::slice::from_ref(&old));
    assert_eq!(assets(&fleet).await.len(), 41);
    let proposals = store::merge::list(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    let proposed: Vec<(&str, &str)> =
        proposals.iter().map(|proposal| (proposal.agent_id.as_str(), proposal.old_agent_id.as_str())).collect();
    assert_eq!(proposed, [(new.as_str(), old.as_str())]);
}

#[tokio::test]
async fn a_page_instead_of_the_list_marks_nothing() {
    let fleet = synced(40).await;
    fault(&fleet, "/agents/?client=2", FaultKind::Html);
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Partial, 0));
    let cause = part(&parts, "client:2").error.as_deref().expect("it says why");
    assert!(cause.contains("web page"), "{cause}");
    assert_eq!(missing(&fleet).await, [""; 0]);
}

#[tokio::test]
async fn a_list_that_is_cut_marks_nothing() {
    for kind in [FaultKind::Truncated { bytes: 3_000 }, FaultKind::CutShort { bytes: 3_000 }] {
        let fleet = synced(40).await;
        fault(&fleet, "/agents/?client=2", kind);
        let (run, parts) = fleet.sync(Kind::Devices).await;
        assert_eq!((run.state, part(&parts, "client:2").state), (State::Partial, PartState::Failed));
        assert_eq!(missing(&fleet).await, [""; 0]);
        assert_true(&fleet, &truths(&fleet)).await;
    }
}

#[tokio::test]
async fn an_empty_list_where_devices_were_marks_nothing() {
    let fleet = synced(40).await;
    fault(&fleet, "/agents/?client=2", answer("[]"));
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!(run.state, State::Partial);
    let cause = part(&parts, "client:2").error.as_deref().expect("it says why");
    let count = truths(&fleet).values().filter(|truth| truth.client.0 == 2).count();
    let expected = format!("Tactical lists 0 of {count} devices: nothing was marked as missing");
    assert!(cause.starts_with(&expected), "{cause}");
    assert_eq!(missing(&fleet).await, [""; 0]);
}

#[tokio::test]
async fn a_second_list_that_is_empty_or_narrower_than_the_first_marks_nothing() {
    for body in ["[]", r#"[{"id": 1, "agent_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]"#] {
        let fleet = synced(40).await;
        fleet.simulator().control().delete_agent(7).expect("it exists");
        fault(&fleet, "/agents/?detail=false", answer(body));
        let (run, parts) = fleet.sync(Kind::Devices).await;
        assert_eq!((run.state, run.counts.missing), (State::Partial, 0));
        let cause = part(&parts, "confirm").error.as_deref().expect("it says why");
        assert!(cause.contains("where it has just shown 39: nothing was marked as missing"), "{cause}");
        assert_eq!(missing(&fleet).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_role_that_was_narrowed_marks_nothing() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let role = control.role("sync").expect("it exists");
    control.set_role("sync", Role { view_clients: [1].into(), ..role.clone() }).expect("it exists");
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!(
        (run.state, run.parts_done, run.parts, run.counts.missing),
        (State::Partial, 2, 5, 0),
        "of the hidden clients nothing can be said, also not by asking for each device"
    );
    let cause = part(&parts, "client:2").error.as_deref().expect("it says why");
    assert!(cause.starts_with("Tactical does not show this client"), "{cause}");
    assert_eq!(missing(&fleet).await, [""; 0]);

    // one site of a client: the client is still shown, and is read; the other clients are not
    let site = control.agent(1).expect("it exists").site.0;
    control.set_role("sync", Role { view_sites: [site].into(), ..role }).expect("it exists");
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Partial, 0));
    assert_eq!(missing(&fleet).await, [""; 0]);
    assert_eq!(assets(&fleet).await.len(), 40);
}

#[tokio::test]
async fn the_devices_of_a_deleted_client_are_missing_once_tactical_says_that_there_are_none_such() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let mut shown = fleet.tactical_get("/clients/", key::SYNC).await;
    shown.as_array_mut().expect("a list").retain(|client| client["id"] != 2);
    fault(&fleet, "/clients/", answer(&shown.to_string()));
    // one of them is in no list and still there, as if the key could not see it
    let theirs: Vec<_> = control.agents().into_iter().filter(|agent| agent.client.0 == 2).collect();
    let (kept, gone) = theirs.split_first().expect("it has agents");
    for agent in gone {
        control.delete_agent(agent.pk).expect("it exists");
    }
    let brief = control.agents().into_iter().filter(|agent| agent.pk != kept.pk).map(|agent| {
        serde_json::json!({"id": agent.pk, "agent_id": agent.agent_id, "client": agent.client.1, "site": agent.site.1})
    });
    let brief: Vec<serde_json::Value> = brief.collect();
    fault(&fleet, "/agents/?detail=false", answer(&serde_json::to_string(&brief).expect("it is JSON")));
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Partial, gone.len() as i64), "{parts:#?}");
    assert_eq!(part(&parts, "client:2").state, PartState::Failed);
    assert_eq!(part(&parts, "confirm").counts.missing, gone.len() as i64);
    let mut expected: Vec<String> = gone.iter().map(|agent| agent.agent_id.clone()).collect();
    expected.sort();
    assert_eq!(missing(&fleet).await, expected);
    assert_eq!(assets(&fleet).await.len(), 40, "their assets stay");
}

#[tokio::test]
async fn a_device_that_left_for_a_client_that_is_not_imported_is_missing_once_it_is_deleted_there() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let mappings = store::organization::list(&fleet.store(), fleet.connection().tenant).await.expect("it answers");
    let four = mappings.iter().find(|mapping| mapping.external_organization_id == "4").expect("it is there");
    let unmapped = store::organization::Patch { client_id: Some(None), ..Default::default() };
    fleet.patch_mapping(four.mapping_id, unmapped).await;
    let mut agents = control.agents().into_iter();
    let there = agents.clone().find(|agent| agent.client.0 == 4).expect("it has agents");
    let leaves = agents.find(|agent| agent.client.0 == 1).expect("it has agents");
    control.move_agent(leaves.pk, there.site.0).expect("it exists");
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Completed, 0), "it is listed elsewhere");
    control.delete_agent(leaves.pk).expect("it exists");
    control.delete_agent(there.pk).expect("it exists");
    // it is looked for once an hour
    fleet.database().execute("update muster.run_part set finished_at = finished_at - interval '1 hour'").await;
    // a server that takes its time for one answer fails no run: it is asked again in a later one
    fault(&fleet, &format!("/agents/{}/", leaves.agent_id), FaultKind::Slow { delay_ms: 60_000 });
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing, part(&parts, "confirm").attempt), (State::Completed, 0, 1));
    control.clear_faults();
    fleet.database().execute("update muster.run_part set finished_at = finished_at - interval '1 hour'").await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.missing), (State::Completed, 1));
    assert_eq!(missing(&fleet).await, [leaves.agent_id], "what a person has unmapped is left alone");
}

#[tokio::test]
async fn an_agent_that_comes_back_is_missing_no_more() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    let victim = control.agent(7).expect("it exists");
    // the list of its client and the list of all both lack it, as if it were gone
    let others = |_: &str| {
        let agents = control.agents().into_iter().filter(|agent| agent.pk != 7);
        agents.map(|agent| {
            serde_json::json!({"id": agent.pk, "agent_id": agent.agent_id, "hostname": agent.hostname,
            "client": agent.client.1, "site": agent.site.1})
        })
    };
    let brief: Vec<serde_json::Value> = others("").collect();
    let client = victim.client.0;
    let listed = fleet.tactical_get(&format!("/agents/?client={client}"), key::SYNC).await;
    let rows: Vec<&serde_json::Value> =
        listed.as_array().expect("a list").iter().filter(|row| row["agent_id"] != victim.agent_id.as_str()).collect();
    fault(&fleet, &format!("/agents/?client={client}"), answer(&serde_json::to_string(&rows).expect("it is JSON")));
    fault(&fleet, "/agents/?detail=false", answer(&serde_json::to_string(&brief).expect("it is JSON")));
    assert_eq!(fleet.sync(Kind::Devices).await.0.counts.missing, 1);
    assert_eq!(missing(&fleet).await, [victim.agent_id]);
    control.clear_faults();
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_true(&fleet, &truths(&fleet)).await;
}
