//! Who may still write.

use store::device::{self, Batch, Device, Outcome, Source};
use store::testing::TestDatabase;
use store::{Left, run};
use uuid::Uuid;

use crate::world::{World, device, entry};

async fn outcome(world: &World, batch: &Batch) -> Outcome {
    device::merge(&world.store, batch).await.unwrap()
}

#[tokio::test]
async fn a_run_taken_over_fences_the_old_workers_next_batch() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = world.begun(&["client:1"]).await;
    let batch = Batch { fence: Some(old.clone()), ..world.batch(&[device("a")]) };
    assert!(matches!(outcome(&world, &batch).await, Outcome::Merged(_)));
    let new = run::take_over(&world.store, world.tenant, old.run.run_id).await.unwrap().unwrap().fence;
    assert_eq!(new.epoch, old.run.epoch + 1);
    let late = Batch { fence: Some(old.clone()), ..world.batch(&[device("a"), device("b")]) };
    let before = world.versions().await;
    assert_eq!(outcome(&world, &late).await, Outcome::Fenced);
    assert_eq!(world.versions().await, before);
    // neither can it end, plan or begin anything
    assert_eq!(run::finish_part(&world.store, &old).await.unwrap(), None);
    assert_eq!(device::candidates(&world.store, &old, &[].into()).await.unwrap(), None);
    assert_eq!(run::fail_part(&world.store, &old.run, "client:1", "late").await.unwrap(), None);
    assert!(!run::plan(&world.store, &old.run, &[]).await.unwrap());
    assert_eq!(run::begin_part(&world.store, &old.run, "client:1").await.unwrap(), None);
    assert!(!run::fail(&world.store, world.tenant, old.run.run_id, Some(old.run.epoch), "late").await.unwrap());
    let part = world.begin(&new, "client:1").await;
    assert_eq!(world.complete(&part, &[device("a")]).await, Some(run::State::Completed));
}

#[tokio::test]
async fn a_part_begun_anew_fences_the_older_attempt_and_counts_from_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = world.begun(&["client:1"]).await;
    world.merge(&Batch { fence: Some(old.clone()), ..world.batch(&[device("a"), device("b")]) }).await;
    let new = world.begin(&old.run, "client:1").await;
    let late = Batch { fence: Some(old.clone()), ..world.batch(&[device("c")]) };
    assert_eq!(outcome(&world, &late).await, Outcome::Fenced);
    world.merge(&Batch { fence: Some(new.clone()), ..world.batch(&[device("a")]) }).await;
    let (_, parts) = run::get(&world.store, world.tenant, new.run.run_id).await.unwrap().unwrap();
    assert_eq!((parts[0].attempt, parts[0].counts.seen, parts[0].counts.unchanged), (2, 1, 1));
    assert_eq!(run::finish_part(&world.store, &old).await.unwrap(), None);
    assert_eq!(run::finish_part(&world.store, &new).await.unwrap(), Some(run::State::Completed));
    let ended = Batch { fence: Some(new), ..world.batch(&[device("c")]) };
    assert_eq!(outcome(&world, &ended).await, Outcome::Fenced);
}

#[tokio::test]
async fn an_attempt_fails_its_part_only_where_no_other_one_has_begun_it_since() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = world.begun(&["client:1"]).await;
    let new = world.begin(&old.run, "client:1").await;
    assert_eq!(run::fail_attempt(&world.store, &old, "the rest never came").await.unwrap(), None);
    assert_eq!(world.complete(&new, &[device("a")]).await, Some(run::State::Completed));

    let first = world.begun(&["client:1"]).await;
    let failed = run::fail_attempt(&world.store, &first, "the rest never came").await.unwrap();
    assert_eq!(failed, Some(run::State::Failed));
    assert_eq!(run::begin_part(&world.store, &first.run, "client:1").await.unwrap(), None);
}

#[tokio::test]
async fn disconnect_suspension_and_hold_stop_the_next_batch() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(&["client:1"]).await;
    let batch = Batch { fence: Some(fence), ..world.batch(&[device("a")]) };
    for (stop, start, left) in [
        (
            "update rmm_integrations set is_active = false",
            "update rmm_integrations set is_active = true",
            Left::Inactive,
        ),
        ("update tenants set suspended_at = now()", "update tenants set suspended_at = null", Left::Suspended),
        (
            "update muster.connection set held_at = now(), held = '{}'",
            "update muster.connection set held_at = null, held = null",
            Left::Held,
        ),
    ] {
        world.run(stop).await;
        let before = world.versions().await;
        assert_eq!(world.left(&batch).await, left);
        assert_eq!(world.versions().await, before);
        world.run(start).await;
    }
    assert_eq!(world.merge(&batch).await.created, 1);
}

#[tokio::test]
async fn after_a_disconnect_the_runs_have_failed_and_their_batches_are_fenced() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(&["client:1"]).await;
    assert!(store::connection::disconnect(&world.store, world.tenant, &entry()).await.unwrap());
    let batch = Batch { fence: Some(fence.clone()), ..world.batch(&[device("a")]) };
    assert_eq!(outcome(&world, &batch).await, Outcome::Fenced);
    let (run, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!(run.state, run::State::Failed);
}

#[tokio::test]
async fn a_refresh_fetched_before_a_page_never_overwrites_it_whichever_is_written_first() {
    for (part, ends) in [("client:1", false), ("client:1", true), ("site:11", false), ("site:11:server", true)] {
        for is_refresh_first in [true, false] {
            let database = TestDatabase::create().await;
            let world = World::new(&database).await;
            let (tenant, integration) = (world.tenant, world.integration_id);
            world.run(&format!("insert into muster.site values ('{tenant}', '{integration}', '11', '1', 'HQ')")).await;
            let told = device("a");
            world.merge(&world.batch(std::slice::from_ref(&told))).await;
            let renamed = Device { name: "OLDER".to_owned(), ..told.clone() };
            let refresh = Batch { source: Source::Detail, ..world.batch(&[renamed]) };
            let fence = world.begun(&[part]).await;
            // the page tells what stands there already
            let page = Batch { fence: Some(fence.clone()), ..world.batch(std::slice::from_ref(&told)) };
            if is_refresh_first {
                assert_eq!(world.merge(&refresh).await.updated, 1);
                assert_eq!(world.merge(&page).await.updated, 1);
            } else {
                assert_eq!(world.merge(&page).await.unchanged, 1);
                if ends {
                    run::fail_part(&world.store, &fence.run, part, "the rest never came").await.unwrap();
                }
                assert_eq!(world.merge(&refresh).await.older, 1);
            }
            let name = world.one().await.name;
            assert_eq!(name.as_deref(), Some(&*told.name), "{part} {ends} {is_refresh_first}");
            // one that was fetched after the page is news
            let renamed = Device { name: "NEWER".to_owned(), ..told };
            let refresh = Batch { source: Source::Detail, ..world.batch(&[renamed]) };
            assert_eq!(world.merge(&refresh).await.updated, 1);
        }
    }
}

#[tokio::test]
async fn an_unmapped_or_switched_off_organisation_imports_nothing_and_loses_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let changed = world.batch(&[{
        let mut device = device("a");
        device.name = "NEW".to_owned();
        device
    }]);
    for (sql, left) in [
        ("update rmm_organization_mappings set auto_sync_assets = false", Left::AutoSyncOff),
        ("update rmm_organization_mappings set auto_sync_assets = true, client_id = null", Left::Unmapped),
        ("delete from rmm_organization_mappings", Left::UnknownOrganization),
    ] {
        world.run(sql).await;
        let before = world.versions().await;
        assert_eq!(world.left(&changed).await, left);
        assert_eq!(world.versions().await, before);
        assert_eq!(world.one().await.client_id, world.clients[0]);
    }
    let stranger = Batch { tenant: Uuid::now_v7(), ..changed };
    assert_eq!(world.left(&stranger).await, Left::NoSuchConnection);
}
