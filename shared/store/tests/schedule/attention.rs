//! A connection that fails for good is asked once an hour, and resumes by itself.

use chrono::TimeDelta;
use store::connection::{self, TestNote};
use store::run::{self, Cause, Kind, NewPart, Scope, State};
use store::schedule::{self, Outcome, Patch};

use crate::world::{World, entry};

const EXPIRED: &str = "the key has expired";

impl World {
    /// Whether a schedule has slowed down.
    async fn is_slow(&self, kind: Kind) -> bool {
        self.schedule(kind).await.failing.is_some_and(|failing| failing.attention_at.is_some())
    }
}

#[tokio::test]
async fn three_equal_failures_over_ten_minutes_slow_the_ticks_down_to_one_an_hour() {
    let world = World::new().await;
    world.fail(Kind::Alerts, EXPIRED).await;
    world.pass(600).await;
    world.fail(Kind::Alerts, EXPIRED).await;
    assert!(!world.is_slow(Kind::Alerts).await, "two are not enough");
    world.fail(Kind::Alerts, EXPIRED).await;
    let schedule = world.schedule(Kind::Alerts).await;
    let failing = schedule.failing.unwrap();
    assert_eq!((failing.cause.as_str(), failing.count), (EXPIRED, 3));
    assert!(failing.attention_at.is_some());
    assert!(!world.is_slow(Kind::Devices).await, "each kind fails for itself");
    // it goes on once an hour, each time as a probe
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    let after = world.schedule(Kind::Alerts).await;
    let step = "select count(*) from muster.schedule where kind = 'alerts'
                and next_due_at = muster.next_slot(now(), 3600, phase_s)";
    assert_eq!(world.number(step).await, 1, "{after:?}");
    let fence = world.take(Kind::Alerts).await;
    let cause = Cause { text: EXPIRED.to_owned(), needs_attention: true };
    run::fail(&world.store, world.tenant, fence.run_id, None, cause).await.unwrap();
    assert!(world.is_slow(Kind::Alerts).await);
    assert_eq!(world.number(step).await, 1, "a probe that fails brings none sooner");
}

#[tokio::test]
async fn what_ticks_less_often_than_once_an_hour_is_probed_at_its_own_interval_and_no_sooner() {
    let world = World::new().await;
    let rarely = Patch { interval_s: Some(Some(7_200)), is_enabled: None };
    schedule::patch(&world.store, world.tenant, Kind::Clients, &rarely, &entry()).await.unwrap();
    for (kind, interval_s) in [(Kind::Clients, 7_200), (Kind::Software, 86_400)] {
        world.fail(kind, EXPIRED).await;
        world.fail(kind, EXPIRED).await;
        world.pass(600).await;
        world.fail(kind, EXPIRED).await;
        assert!(world.is_slow(kind).await, "{kind:?}");
        let step = format!(
            "select count(*) from muster.schedule where kind = '{}'
             and next_due_at = muster.next_slot(now(), {interval_s}, phase_s)",
            kind.as_str()
        );
        assert_eq!(world.number(&step).await, 1, "{kind:?}: a failure brings its slot no nearer");
        assert_eq!(world.tick_of(kind).await, Outcome::Started);
        assert_eq!(world.number(&step).await, 1, "{kind:?}: nor does a probe");
        world.succeed(kind).await;
        assert_eq!(world.number(&step).await, 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_cause_that_counts_something_is_the_same_one_with_other_numbers() {
    let world = World::new().await;
    world.fail(Kind::Alerts, "Tactical lists 41 devices where its clients have 120: no alert was resolved").await;
    world.pass(600).await;
    world.fail(Kind::Alerts, "Tactical lists 9 devices where its clients have 120: no alert was resolved").await;
    let last = "Tactical lists 107 devices where its clients have 1200: no alert was resolved";
    world.fail(Kind::Alerts, last).await;
    let failing = world.schedule(Kind::Alerts).await.failing.unwrap();
    assert_eq!((failing.cause.as_str(), failing.count), (last, 3), "the last one is shown");
    assert!(failing.attention_at.is_some());
    world.fail(Kind::Alerts, "Tactical lists 107 devices where the poll before saw 1200: no alert was resolved").await;
    assert_eq!(world.schedule(Kind::Alerts).await.failing.unwrap().count, 1, "another cause is another one");
}

#[tokio::test]
async fn a_tactical_that_is_being_updated_for_nine_minutes_silences_no_tenant() {
    let world = World::new().await;
    for _ in 0..8 {
        world.fail(Kind::Alerts, "something in front of it refuses").await;
    }
    // an edge that no clock between two statements can blur
    world.pass(540).await;
    world.fail(Kind::Alerts, "something in front of it refuses").await;
    assert!(!world.is_slow(Kind::Alerts).await, "nine minutes are less than ten");
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    world.succeed(Kind::Alerts).await;
    assert_eq!(world.schedule(Kind::Alerts).await.failing, None);
    world.pass(60).await;
    world.fail(Kind::Alerts, "something in front of it refuses").await;
    assert_eq!(world.schedule(Kind::Alerts).await.failing.unwrap().count, 1, "it begins anew");
}

#[tokio::test]
async fn failures_that_pass_by_themselves_do_not_count_and_other_causes_begin_anew() {
    let world = World::new().await;
    for _ in 0..5 {
        world.fail_by(Kind::Devices, "no answer to /agents/".into()).await;
    }
    assert_eq!(world.schedule(Kind::Devices).await.failing, None);
    world.fail(Kind::Devices, EXPIRED).await;
    world.fail(Kind::Devices, EXPIRED).await;
    world.fail_by(Kind::Devices, "no answer to /agents/".into()).await;
    assert_eq!(world.schedule(Kind::Devices).await.failing.unwrap().count, 2, "nor do they say that it works");
    world.pass(600).await;
    world.fail(Kind::Devices, "the role may not ask /agents/").await;
    let failing = world.schedule(Kind::Devices).await.failing.unwrap();
    assert_eq!((failing.count, failing.attention_at), (1, None));
}

#[tokio::test]
async fn one_success_resumes_and_what_else_has_slowed_down_looks_at_once() {
    let world = World::new().await;
    for kind in [Kind::Alerts, Kind::Devices] {
        for _ in 0..2 {
            world.fail(kind, EXPIRED).await;
        }
        world.pass(600).await;
        world.fail(kind, EXPIRED).await;
        assert!(world.is_slow(kind).await);
    }
    world.run("update muster.schedule set next_due_at = now() + interval '59 minutes'").await;
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    world.succeed(Kind::Alerts).await;
    let alerts = world.schedule(Kind::Alerts).await;
    assert_eq!(alerts.failing, None);
    assert!(alerts.next_due_at.unwrap() - alerts.last_slot.unwrap() <= TimeDelta::seconds(300), "its own step again");
    let ticks = world.tick().await;
    assert_eq!((ticks.len(), ticks[0].kind, ticks[0].outcome), (1, Kind::Devices, Outcome::Started));
    world.succeed(Kind::Devices).await;
    assert!(!world.is_slow(Kind::Devices).await);
}

#[tokio::test]
async fn a_test_that_succeeds_has_what_has_slowed_down_look_at_once() {
    let world = World::new().await;
    world.fail(Kind::Alerts, EXPIRED).await;
    world.fail(Kind::Alerts, EXPIRED).await;
    world.pass(600).await;
    world.fail(Kind::Alerts, EXPIRED).await;
    let note = TestNote {
        tenant: world.tenant,
        integration_id: world.integration_id,
        revision: world.number("select revision from muster.connection").await,
        instance_url: "https://api.example.com",
        is_success: false,
        server_version: None,
        clients_visible: None,
        agents_visible: None,
    };
    connection::note_test(&world.store, &note, &entry()).await.unwrap().unwrap();
    assert!(world.tick().await.is_empty());
    connection::note_test(&world.store, &TestNote { is_success: true, ..note }, &entry()).await.unwrap().unwrap();
    assert_eq!(world.tick().await.len(), 1);
    assert!(world.is_slow(Kind::Alerts).await, "the probe has not succeeded yet");
}

#[tokio::test]
async fn a_run_whose_every_part_needs_a_person_counts_and_one_that_read_something_does_not() {
    let world = World::new().await;
    let part = |id: &str| NewPart {
        scope: Scope::Client(id.to_owned()),
        label: format!("client {id}"),
        expected: None,
        fails: None,
    };
    let forbidden = Cause { text: "the role may not ask /agents/".to_owned(), needs_attention: true };
    for (second, state, count) in [
        (Some(forbidden.clone()), State::Failed, Some(1)),
        (Some("502".into()), State::Failed, Some(1)),
        (None, State::Partial, None),
    ] {
        world.due(Kind::Devices).await;
        world.tick().await;
        let fence = world.take(Kind::Devices).await;
        run::plan(&world.store, &fence, &[part("1"), part("2")]).await.unwrap();
        run::begin_part(&world.store, &fence, "client:1").await.unwrap().unwrap();
        run::fail_part(&world.store, &fence, "client:1", &forbidden).await.unwrap();
        let begun = run::begin_part(&world.store, &fence, "client:2").await.unwrap().unwrap();
        let ended = match second {
            Some(cause) => run::fail_part(&world.store, &fence, "client:2", cause).await.unwrap(),
            None => run::finish_part(&world.store, &begun.fence).await.unwrap(),
        };
        if ended == Some(State::Running) {
            // devices that no list shows are looked for
            assert!(run::fail(&world.store, world.tenant, fence.run_id, None, "not looked for").await.unwrap());
        } else {
            assert_eq!(ended, Some(state));
        }
        let failing = world.schedule(Kind::Devices).await.failing;
        assert_eq!(failing.map(|failing| failing.count), count, "{state:?}");
    }
}

#[tokio::test]
async fn the_devices_of_a_larger_fleet_are_read_less_often_unless_somebody_has_said_how_often() {
    let world = World::new().await;
    world.run("delete from muster.agent").await;
    let (tenant, integration) = (world.tenant, world.integration_id);
    for (agents, interval_s) in [(1_000, 120), (1_001, 300), (5_000, 300), (5_001, 900), (1_000, 120)] {
        world.run("delete from muster.agent").await;
        world
            .run(&format!(
                "insert into muster.agent (tenant, integration_id, agent_id)
                 select '{tenant}', '{integration}', 'A' || n from generate_series(1, {agents}) n;
                 insert into muster.agent (tenant, integration_id, agent_id, missing_since)
                 values ('{tenant}', '{integration}', 'gone', now())"
            ))
            .await;
        assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Started);
        world.succeed(Kind::Devices).await;
        assert_eq!(world.schedule(Kind::Devices).await.default_interval_s, interval_s, "{agents} agents");
        let fits = format!(
            "select count(*) from muster.schedule where kind = 'devices' and next_due_at <= now() + interval '{interval_s} s'"
        );
        assert_eq!(world.number(&fits).await, 1);
    }
    world
        .run("update muster.schedule set interval_s = 60, next_due_at = now() + interval '33 s' where kind = 'devices'")
        .await;
    world
        .run(&format!(
            "insert into muster.agent (tenant, integration_id, agent_id)
         select '{tenant}', '{integration}', 'B' || n from generate_series(1, 9000) n"
        ))
        .await;
    run::start(&world.store, tenant, integration, Kind::Devices, "test", &entry()).await.unwrap();
    let before = world.schedule(Kind::Devices).await;
    world.succeed(Kind::Devices).await;
    let after = world.schedule(Kind::Devices).await;
    assert_eq!((after.interval_s, after.next_due_at), (Some(60), before.next_due_at));
    assert_eq!(after.default_interval_s, 900);
}
