//! What a tick does: one run a slot, missed slots as one, nothing where there is nothing to do.

use std::time::Duration;

use chrono::TimeDelta;
use store::alert::{self, Found, Under};
use store::run::{self, Kind};
use store::schedule::{self, Outcome, Patch};
use store::{connection, tenant};
use uuid::Uuid;

use crate::world::{World, connect, entry};

#[tokio::test]
async fn a_due_slot_starts_its_run_and_moves_on() {
    let world = World::new().await;
    for kind in Kind::ALL {
        assert_eq!(world.tick_of(*kind).await, Outcome::Started, "{kind:?}");
        assert_eq!(world.runs(*kind).await, 1, "{kind:?}");
        let schedule = world.schedule(*kind).await;
        let slot = schedule.last_slot.unwrap();
        let next = schedule.next_due_at.unwrap() - slot;
        assert!(next > TimeDelta::zero() && next <= TimeDelta::seconds(schedule.default_interval_s.into()), "{next}");
        let of_run = format!("select slot from muster.run where kind = '{}'", kind.as_str());
        assert_eq!(world.time(&of_run).await, Some(slot));
    }
    assert_eq!(world.messages().await, 4, "one message each");
    assert_eq!(world.number("select count(*) from muster.run where requested_by <> 'schedule'").await, 0);
    assert_eq!(world.number("select count(*) from muster.audit where action = 'test'").await, 0, "nobody asked for it");
    assert!(world.tick().await.is_empty(), "nothing more is due");
}

#[tokio::test]
async fn the_slots_of_a_schedule_are_a_step_apart_and_missed_ones_are_one() {
    let world = World::new().await;
    // three days without a gateway
    world.run("update muster.schedule set next_due_at = next_due_at - interval '3 days' where kind = 'alerts'").await;
    let ticks = world.tick().await;
    assert_eq!(ticks.len(), 1);
    assert!(ticks[0].late > Duration::from_secs(2 * 86_400), "{ticks:?}");
    let schedule = world.schedule(Kind::Alerts).await;
    // for the last slot before now, and then the next one after now
    assert_eq!(schedule.next_due_at.unwrap() - schedule.last_slot.unwrap(), TimeDelta::seconds(300));
    assert_eq!(
        world.number("select count(*) from muster.schedule where kind = 'alerts' and last_slot <= now() and next_due_at > now()").await,
        1
    );
    assert_eq!((world.runs(Kind::Alerts).await, world.messages().await), (1, 1));
    assert!(world.tick().await.is_empty());
}

#[tokio::test]
async fn at_most_one_run_of_a_kind_is_open() {
    let world = World::new().await;
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Open);
    assert_eq!(world.tick_of(Kind::Clients).await, Outcome::Started, "another kind is another matter");
    let taken = world.take(Kind::Alerts).await;
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Open, "nor while it runs");
    assert!(run::fail(&world.store, world.tenant, taken.run_id, None, "cut off").await.unwrap());
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    assert_eq!((world.runs(Kind::Alerts).await, world.messages().await), (2, 3));
}

#[tokio::test]
async fn a_run_that_makes_no_progress_is_sent_again_and_does_not_end_the_ticks_for_ever() {
    let world = World::new().await;
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Started);
    world.run("delete from muster.outbox").await;
    world.run("update muster.run set requested_at = now() - interval '15 minutes' + interval '5 s'").await;
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Open);
    world.run("update muster.run set requested_at = now() - interval '15 minutes 1 s'").await;
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Resent);
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Open);
    assert_eq!((world.runs(Kind::Devices).await, world.messages().await), (1, 1));
}

#[tokio::test]
async fn a_slot_that_a_person_was_ahead_of_is_dropped() {
    let world = World::new().await;
    world.run("update muster.schedule set next_due_at = now() - interval '1 s' where kind = 'clients'").await;
    run::start(&world.store, world.tenant, world.integration_id, Kind::Clients, "test", &entry()).await.unwrap();
    world.succeed(Kind::Clients).await;
    let ticks = world.tick().await;
    assert_eq!((ticks.len(), ticks[0].outcome), (1, Outcome::Superseded));
    assert_eq!(world.runs(Kind::Clients).await, 1);
    assert_eq!(world.tick_of(Kind::Clients).await, Outcome::Started, "the next one is newer");
}

#[tokio::test]
async fn a_run_whose_slot_lies_ahead_of_the_clock_stops_no_tick() {
    let world = World::new().await;
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
    world.succeed(Kind::Alerts).await;
    world.run("update muster.run set slot = now() + interval '1 hour'").await;
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started);
}

#[tokio::test]
async fn a_database_whose_clock_was_set_back_ticks_on_by_the_clock_that_it_has_now() {
    let world = World::new().await;
    for kind in [Kind::Alerts, Kind::Clients] {
        assert_eq!(world.tick_of(kind).await, Outcome::Started);
        world.succeed(kind).await;
    }
    // as a server that takes over with a clock a day behind finds it
    world
        .run(
            "update muster.run set slot = slot + interval '1 day';
             update muster.schedule set last_slot = last_slot + interval '1 day',
                next_due_at = next_due_at + interval '1 day' where last_slot is not null",
        )
        .await;
    assert_eq!(schedule::follow_clock(&world.store).await.unwrap(), 2);
    assert_eq!(schedule::follow_clock(&world.store).await.unwrap(), 0, "what lies within its step stays");
    assert!(world.tick().await.is_empty(), "nothing is due at once");
    let soon = "select count(*) from muster.schedule where kind in ('alerts', 'clients')
                and next_due_at = muster.next_slot(now(), default_interval_s, phase_s)";
    assert_eq!(world.number(soon).await, 2);
    world.run("insert into muster.reconcile_wish select tenant, integration_id, now() from rmm_integrations").await;
    assert_eq!(world.tick().await[0].outcome, Outcome::Started, "a wish is heard although the last look is to come");
}

#[tokio::test]
async fn where_there_is_nothing_to_run_the_slot_passes() {
    let world = World::new().await;
    let (store, tenant) = (&world.store, world.tenant);
    tenant::set_suspended(store, tenant, true, "test").await.unwrap();
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Left, "suspended");
    tenant::set_suspended(store, tenant, false, "test").await.unwrap();
    assert_eq!(world.tick_of(Kind::Alerts).await, Outcome::Started, "by itself");
    world.run("update muster.connection set held_at = now(), held = '{}'").await;
    for (kind, outcome) in
        [(Kind::Devices, Outcome::Left), (Kind::Software, Outcome::Left), (Kind::Clients, Outcome::Started)]
    {
        assert_eq!(world.tick_of(kind).await, outcome, "held: {kind:?}");
    }
    world.run("update muster.connection set held_at = null, held = null").await;
    world.run("update rmm_integrations set instance_url = null").await;
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Left, "webhooks alone");
    world.run("update rmm_integrations set instance_url = 'https://a.b'").await;
    world.run("delete from muster.agent").await;
    assert_eq!(world.tick_of(Kind::Software).await, Outcome::Left, "no devices yet");
    let soon =
        "select count(*) from muster.schedule where kind = 'software' and next_due_at <= now() + interval '1 hour'";
    assert_eq!(world.number(soon).await, 1, "it looks again within the hour");
    assert_eq!(world.schedule(Kind::Software).await.last_slot, None);
    // a row that no trigger has seen
    world.run("alter table rmm_integrations disable trigger muster_schedule_switched").await;
    world.run("update rmm_integrations set is_active = false").await;
    assert_eq!(world.tick_of(Kind::Devices).await, Outcome::Left, "not active");
    assert_eq!(world.schedule(Kind::Devices).await.next_due_at, None);
}

#[tokio::test]
async fn a_wish_for_a_look_at_the_alerts_is_heard_at_once_and_not_more_often_than_once_a_minute() {
    let world = World::new().await;
    let (tenant, integration) = (world.tenant, world.integration_id);
    world
        .run(&format!(
            "insert into muster.reconcile_wish (tenant, integration_id, wished_at) values ('{tenant}', '{integration}', now())"
        ))
        .await;
    let ticks = world.tick().await;
    assert_eq!((ticks.len(), ticks[0].kind, ticks[0].outcome), (1, Kind::Alerts, Outcome::Started));
    world.succeed(Kind::Alerts).await;
    assert!(world.tick().await.is_empty(), "it stands, and the last look is not a minute ago");
    let back =
        "update muster.schedule set last_slot = now() - make_interval(secs => 60), next_due_at = now() + interval '9 s'
                where kind = 'alerts'";
    world.run(&back.replace("60)", "59)")).await;
    assert!(world.tick().await.is_empty());
    world.run(back).await;
    world.run("update muster.run set slot = slot - interval '1 minute'").await;
    assert_eq!(world.tick().await[0].outcome, Outcome::Started);
    world.succeed(Kind::Alerts).await;
    let server_epoch = connection::find(&world.store, tenant).await.unwrap().unwrap().server_epoch;
    let under = Under::Server { tenant, integration_id: integration, server_epoch };
    let polled_at = world.store.database_now().await.unwrap();
    let found = Found { polled_at, undelivered: 0, undelivered_at: None, is_gap: false };
    assert_eq!(alert::end_poll(&world.store, &under, &found).await.unwrap(), None);
    world.run(back).await;
    assert!(world.tick().await.is_empty(), "a look that began since has ended: the wish is fulfilled");
    world.run("update muster.reconcile_wish set wished_at = now()").await;
    let off = Patch { interval_s: None, is_enabled: Some(false) };
    schedule::patch(&world.store, tenant, Kind::Alerts, &off, &entry()).await.unwrap();
    assert!(world.tick().await.is_empty(), "what is switched off hears no wish");
}

/// What stands in the way, and what takes it away again.
const IN_THE_WAY: [(&str, &str, &str); 3] = [
    (
        "suspended",
        "update tenants set suspended_at = now() where tenant = $t",
        "update tenants set suspended_at = null where tenant = $t",
    ),
    (
        "held",
        "update muster.connection set held_at = now(), held = '{}' where tenant = $t",
        "update muster.connection set held_at = null, held = null where tenant = $t",
    ),
    (
        "incomplete",
        "update rmm_integrations set instance_url = null where tenant = $t",
        "update rmm_integrations set instance_url = 'https://a.b' where tenant = $t",
    ),
];

#[tokio::test]
async fn a_wish_that_no_run_can_fulfil_waits_and_stands_in_no_other_ones_way() {
    let world = World::new().await;
    let others: Vec<Uuid> = (1..=3).map(|n| Uuid::from_u128(100 + n)).collect();
    for (other, (_, blocks, _)) in others.iter().zip(IN_THE_WAY) {
        connect(&world.store, *other).await;
        world.run(&blocks.replace("$t", &format!("'{other}'"))).await;
    }
    world.settle().await;
    // the healthy one's is the last, behind as many as a look takes
    world
        .run("insert into muster.reconcile_wish select tenant, integration_id, now() - interval '1 h' from rmm_integrations")
        .await;
    world.run(&format!("update muster.reconcile_wish set wished_at = now() where tenant = '{}'", world.tenant)).await;
    let ticks = schedule::tick(&world.store, 3).await.unwrap();
    assert_eq!((ticks.len(), ticks[0].tenant, ticks[0].outcome), (1, world.tenant, Outcome::Started));
    assert!(world.tick().await.is_empty(), "nothing is looked at in vain, look after look");
    for (other, (name, _, frees)) in others.iter().zip(IN_THE_WAY) {
        world.run(&frees.replace("$t", &format!("'{other}'"))).await;
        let ticks = world.tick().await;
        let told: Vec<_> = ticks.iter().map(|tick| (tick.tenant, tick.outcome)).collect();
        assert_eq!(told, [(*other, Outcome::Started)], "{name}: it is heard as soon as it can be");
    }
}

#[tokio::test]
async fn no_more_than_asked_for_are_taken_and_the_longest_due_first() {
    let world = World::new().await;
    for n in 1..=4 {
        connect(&world.store, Uuid::from_u128(100 + n)).await;
    }
    world.settle().await;
    world
        .run(
            "update muster.schedule set next_due_at = case when kind = 'alerts'
             then now() - make_interval(secs => ('x' || right(tenant::text, 2))::bit(8)::int) end",
        )
        .await;
    let first = schedule::tick(&world.store, 3).await.unwrap();
    let second = schedule::tick(&world.store, 3).await.unwrap();
    let tenants: Vec<u128> = first.iter().chain(&second).map(|tick| tick.tenant.as_u128()).collect();
    assert_eq!((first.len(), second.len()), (3, 2));
    let (mut early, mut late) = (tenants[..3].to_vec(), tenants[3..].to_vec());
    early.sort_unstable();
    late.sort_unstable();
    assert_eq!((early, late), (vec![102, 103, 104], vec![7, 101]));
}

#[tokio::test]
async fn the_schedules_of_a_newer_program_are_left_alone() {
    let world = World::new().await;
    world
        .run("update muster.schedule set kind = 'patches', next_due_at = now() - interval '1 s' where kind = 'alerts'")
        .await;
    assert!(world.tick().await.is_empty());
    assert_eq!(world.number("select count(*) from muster.schedule where next_due_at < now()").await, 1);
}
