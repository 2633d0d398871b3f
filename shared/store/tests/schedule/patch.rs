//! What a person changes about a schedule.

use fault::{Class, Classify as _};
use store::run::Kind;
use store::schedule::{self, INTERVAL_S_MAX, INTERVAL_S_MIN, Patch, PatchEnd};
use uuid::Uuid;

use crate::world::{World, entry};

impl World {
    async fn patch(&self, patch: Patch) -> PatchEnd {
        schedule::patch(&self.store, self.tenant, Kind::Devices, &patch, &entry()).await.unwrap()
    }
}

fn every(interval_s: impl Into<Option<i32>>) -> Patch {
    Patch { interval_s: Some(interval_s.into()), is_enabled: None }
}

#[tokio::test]
async fn an_interval_holds_at_once_and_none_is_the_default_again() {
    let world = World::new().await;
    for interval_s in [INTERVAL_S_MIN, 3_601, INTERVAL_S_MAX] {
        assert_eq!(world.patch(every(interval_s)).await, PatchEnd::Changed);
        assert_eq!(world.schedule(Kind::Devices).await.interval_s, Some(interval_s));
        let next = format!(
            "select count(*) from muster.schedule where kind = 'devices' and next_due_at > now()
             and next_due_at <= now() + interval '{interval_s} s'"
        );
        assert_eq!(world.number(&next).await, 1);
    }
    world.patch(every(None)).await;
    let schedule = world.schedule(Kind::Devices).await;
    assert_eq!((schedule.interval_s, schedule.default_interval_s), (None, 120));
    assert_eq!(
        world.number("select count(*) from muster.schedule where kind = 'devices' and next_due_at <= now() + interval '120 s'").await,
        1
    );
    assert_eq!(world.number("select count(*) from muster.audit where action = 'test'").await, 4);
}

#[tokio::test]
async fn an_interval_outside_its_limits_changes_nothing() {
    let world = World::new().await;
    for interval_s in [INTERVAL_S_MIN - 1, INTERVAL_S_MAX + 1, 0, -1] {
        let refused =
            schedule::patch(&world.store, world.tenant, Kind::Devices, &every(interval_s), &entry()).await.unwrap_err();
        assert_eq!(refused.class(), Class::Permanent, "{interval_s}: {refused}");
    }
    assert_eq!(world.schedule(Kind::Devices).await.interval_s, None);
    assert_eq!(world.number("select count(*) from muster.audit where action = 'test'").await, 0);
}

#[tokio::test]
async fn what_is_switched_off_does_not_tick_until_it_is_switched_on() {
    let world = World::new().await;
    world.due(Kind::Devices).await;
    world.patch(Patch { interval_s: None, is_enabled: Some(false) }).await;
    assert_eq!(world.schedule(Kind::Devices).await.next_due_at, None);
    assert!(world.tick().await.is_empty());
    world.patch(every(300)).await;
    assert_eq!(world.schedule(Kind::Devices).await.next_due_at, None, "an interval switches nothing on");
    world.patch(Patch { interval_s: None, is_enabled: Some(true) }).await;
    assert!(world.schedule(Kind::Devices).await.next_due_at.is_some());
}

#[tokio::test]
async fn a_change_that_changes_nothing_keeps_the_next_slot() {
    let world = World::new().await;
    world.due(Kind::Devices).await;
    world.patch(Patch { interval_s: Some(None), is_enabled: Some(true) }).await;
    assert_eq!(world.tick().await.len(), 1);
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_apart() {
    let world = World::new().await;
    let end = schedule::patch(&world.store, Uuid::new_v4(), Kind::Devices, &every(60), &entry()).await.unwrap();
    assert_eq!(end, PatchEnd::NotConnected);
}
