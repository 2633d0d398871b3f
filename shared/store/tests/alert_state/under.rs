//! Facts that were read from Tactical are written only while what they were read under is so.

use store::Left;
use store::alert::{Fact, Refused, Said, Under, Written, observe_under};
use store::run::{self, Kind, NewPart, PartFence, Scope, Step};
use store::testing::{TestDatabase, entry};

use crate::world::World;

fn server(world: &World, server_epoch: i64) -> Under<'static> {
    Under::Server { tenant: world.tenant, integration_id: world.integration_id, server_epoch }
}

fn part<'a>(world: &World, fence: &'a PartFence) -> Under<'a> {
    let step = Step { seen: 1, created: 1, ..Step::default() };
    Under::Part { tenant: world.tenant, integration_id: world.integration_id, fence, step }
}

fn polled(world: &World) -> Vec<Fact> {
    vec![world.fact(Said::PolledOpen, 5, Some("7"), Some(1))]
}

/// The part of a run of alerts that has begun.
async fn begun(world: &World) -> PartFence {
    let (store, tenant) = (&world.store, world.tenant);
    let started = run::start(store, tenant, world.integration_id, Kind::Alerts, "test", &entry("test")).await.unwrap();
    let fence = run::take_over(store, tenant, started.run_id).await.unwrap().unwrap().fence;
    let new = NewPart { scope: Scope::Alerts, label: String::new(), expected: None, fails: None };
    assert!(run::plan(store, &fence, &[new]).await.unwrap());
    run::begin_part(store, &fence, "alerts").await.unwrap().unwrap().fence
}

#[tokio::test]
async fn what_is_written_under_a_part_is_counted_with_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = begun(&world).await;
    let written = observe_under(&world.store, &part(&world, &fence), &polled(&world)).await.unwrap();
    assert!(matches!(written, Written::Observed(_)), "{written:?}");
    observe_under(&world.store, &part(&world, &fence), &[]).await.unwrap();
    let (view, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!((view.counts.seen, view.counts.created), (2, 2), "also where there is nothing to write");
    assert_eq!(world.row().await.status, "active");
}

#[tokio::test]
async fn nothing_is_written_where_the_connection_is_not_what_it_was() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = begun(&world).await;
    let undo =
        "update rmm_integrations set is_active = true, instance_url = null; update tenants set suspended_at = null;
                update muster.connection set held_at = null, held = null, confirmed_url = null, server_epoch = 0";
    let table = [
        ("update muster.connection set held_at = now(), held = '{}'", Left::Held),
        ("update rmm_integrations set is_active = false", Left::Inactive),
        ("update tenants set suspended_at = now()", Left::Suspended),
        (
            "update muster.connection set confirmed_url = 'https://a.example.com';
             update rmm_integrations set instance_url = 'https://b.example.com'",
            Left::Unconfirmed,
        ),
        ("update muster.connection set server_epoch = 1", Left::ServerChanged),
    ];
    for (sql, left) in table {
        world.run(sql).await;
        let refused = Written::Refused(Refused::Left(left));
        assert_eq!(observe_under(&world.store, &server(&world, 0), &polled(&world)).await.unwrap(), refused);
        // a run ends with its server
        if left != Left::ServerChanged {
            assert_eq!(observe_under(&world.store, &part(&world, &fence), &polled(&world)).await.unwrap(), refused);
        }
        world.run(undo).await;
    }
    run::fail(&world.store, world.tenant, fence.run.run_id, None, "test").await.unwrap();
    let written = observe_under(&world.store, &part(&world, &fence), &polled(&world)).await.unwrap();
    assert_eq!(written, Written::Refused(Refused::Fenced));
    assert!(world.rows().await.is_empty());
    observe_under(&world.store, &server(&world, 0), &polled(&world)).await.unwrap();
    assert_eq!(world.row().await.status, "active");
}
