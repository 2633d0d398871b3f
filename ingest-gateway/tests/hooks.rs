//! Who may post, through restarts, rotations and while the database is away.

mod http_support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use http_support::{BODY, FakeSource, PEPPER, SECRET, TENANT, World, hook, hook_of, until};
use store::hook::{Hook, HookState, digest};
use uuid::Uuid;

/// So long that no test sees a reload on a timer.
const NO_RELOAD: [&str; 2] = ["--hook-reload-ms", "3600000"];

#[tokio::test]
async fn a_restart_without_the_database_still_knows_its_hooks() {
    let folder = World::start(&[]).await.stop().await;
    let world = World::start_with(FakeSource::away(), Some(folder), &[]).await;
    assert_eq!(world.get("/readyz").await.0, 200);
    assert_eq!(world.post_good(BODY).await.status, 202);
    let unknown = world.post(Uuid::from_u128(9), SECRET, BODY).await;
    assert_eq!(unknown.status, 503, "the tenant may be newer than the disk");
    assert!(unknown.header("retry-after").is_some());
    assert_eq!(world.post(TENANT, "wrong", BODY).await, unknown, "and so may the secret");
}

#[tokio::test]
async fn where_nothing_was_ever_loaded_nobody_is_refused() {
    let world = World::start_with(FakeSource::away(), None, &[]).await;
    for (tenant, secret) in [(TENANT, SECRET), (TENANT, ""), (Uuid::nil(), "wrong")] {
        let answer = world.post(tenant, secret, BODY).await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
    }
    world.source.set(vec![hook()]);
    world.source.away.store(false, Ordering::SeqCst);
    world.until_loaded().await;
    assert_eq!(world.post_good(BODY).await.status, 202);
}

#[tokio::test]
async fn a_broken_file_is_as_good_as_none() {
    let folder = World::start(&[]).await.stop().await;
    let file = folder.path().join("hooks");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(SECRET) && !text.contains(PEPPER), "only digests are on the disk");
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let world = World::start_with(FakeSource::away(), Some(folder.clone()), &[]).await;
    assert_eq!(world.post_good(BODY).await.status, 503);
    world.stop().await;
    let world = World::start_with(FakeSource::with(vec![hook()]), Some(folder.clone()), &[]).await;
    world.until_loaded().await;
    world.stop().await;
    assert_eq!(World::start_with(FakeSource::away(), Some(folder), &[]).await.post_good(BODY).await.status, 202);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_only_the_restart() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("hooks")).unwrap();
    let world = World::start_with(FakeSource::with(vec![hook()]), Some(folder), &[]).await;
    world.until_loaded().await;
    assert_eq!(world.post_good(BODY).await.status, 202);
}

#[tokio::test]
async fn the_secret_before_a_rotation_is_good_until_its_time_is_over() {
    let rotated = |valid_for_ms: i64| Hook {
        previous: Some((digest(PEPPER.as_bytes(), "old"), Utc::now() + TimeDelta::milliseconds(valid_for_ms))),
        ..hook()
    };
    let world = World::start_with(FakeSource::with(vec![rotated(60_000)]), None, &[]).await;
    world.until_loaded().await;
    assert_eq!(world.post(TENANT, "old", BODY).await.status, 202);
    assert_eq!(world.post(TENANT, SECRET, BODY).await.status, 202);
    // on the database's clock, not on ours: it is two minutes ahead now
    *world.source.clock_offset_ms.lock().unwrap() = 120_000;
    until("the old secret is over", async || world.post(TENANT, "old", BODY).await.status == 401).await;
    assert_eq!(world.post(TENANT, SECRET, BODY).await.status, 202);
    let (_, alert) = world.published().pop().unwrap();
    let ahead_ms = (alert.received_at - Utc::now()).num_milliseconds();
    assert!((110_000..=120_000).contains(&ahead_ms), "stamped with the database's clock, {ahead_ms} ms ahead");
}

#[tokio::test]
async fn a_hook_that_is_gone_is_gone_after_a_reload() {
    let world = World::start(&[]).await;
    assert_eq!(world.post_good(BODY).await.status, 202);
    world.source.set(vec![]);
    until("it is refused", async || world.post_good(BODY).await.status == 401).await;
    world.source.set(vec![Hook { state: HookState::Suspended, ..hook() }]);
    until("it is suspended", async || world.post_good(BODY).await.status == 200).await;
}

#[tokio::test]
async fn a_miss_asks_the_database_once() {
    let world = World::start(&[NO_RELOAD[0], NO_RELOAD[1], "--hook-miss-ttl-ms", "3600000"]).await;
    let newer = Uuid::from_u128(0xbeef);
    world.source.set_silently(vec![hook(), hook_of(newer, "its own")]);
    assert_eq!(world.post(newer, "its own", BODY).await.status, 202, "found by asking");
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 1);
    for secret in ["a", "b", "c"] {
        assert_eq!(world.post(TENANT, secret, BODY).await.status, 401);
    }
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 2, "one question, whatever the secret");
    assert_eq!(world.post_good(BODY).await.status, 202, "the good secret needs no question");
    assert_eq!(world.post(newer, "its own", BODY).await.status, 202);
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_holds_only_for_a_while() {
    let world = World::start(&[NO_RELOAD[0], NO_RELOAD[1], "--hook-miss-ttl-ms", "50"]).await;
    assert_eq!(world.post(TENANT, "new", BODY).await.status, 401);
    world.source.set_silently(vec![hook_of(TENANT, "new")]);
    until("the rotated secret is known", async || world.post(TENANT, "new", BODY).await.status == 202).await;
}

#[tokio::test]
async fn those_who_miss_together_ask_together() {
    let flags = [NO_RELOAD[0], NO_RELOAD[1], "--hook-miss-ttl-ms", "3600000", "--hook-lookup-timeout-ms", "10000"];
    let world = World::start(&flags).await;
    world.source.hold_find.store(true, Ordering::SeqCst);
    let posts = (0..8).map(|_| world.post(TENANT, "wrong", BODY));
    let released = async {
        until("the question is asked", async || world.source.finds.load(Ordering::SeqCst) == 1).await;
        world.source.release.notify_one();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(posts), released);
    assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_database_that_does_not_answer_in_time_is_not_waited_for() {
    let flags = [NO_RELOAD[0], NO_RELOAD[1], "--hook-lookup-timeout-ms", "50", "--hook-lookups-max", "1"];
    let world = World::start(&flags).await;
    world.source.hold_find.store(true, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    assert_eq!(world.post(TENANT, "wrong", BODY).await.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(5));
    // the one question is still open, so nobody else may ask
    assert_eq!(world.post(Uuid::from_u128(5), "wrong", BODY).await.status, 503);
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 1);
    assert_eq!(world.post_good(BODY).await.status, 202, "a known secret needs no database");
}

#[tokio::test]
async fn the_tenants_remembered_have_a_limit() {
    let flags = [NO_RELOAD[0], NO_RELOAD[1], "--hook-miss-ttl-ms", "3600000", "--hook-misses-max", "2"];
    let world = World::start(&flags).await;
    for (number, status) in [(1, 401), (2, 401), (3, 503), (1, 401)] {
        assert_eq!(world.post(Uuid::from_u128(number), "x", BODY).await.status, status, "tenant {number}");
    }
    assert_eq!(world.source.finds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_a_reload_overtook_undoes_nothing() {
    let flags = ["--hook-reload-ms", "20", "--hook-lookup-timeout-ms", "10000", "--hook-miss-ttl-ms", "3600000"];
    let world = World::start(&flags).await;
    world.source.hold_find.store(true, Ordering::SeqCst);
    let asking = world.post(TENANT, "wrong", BODY);
    let removing = async {
        // the question has seen the hook; then it is removed, and the reload sees that before the answer arrives
        until("the question is asked", async || world.source.finds.load(Ordering::SeqCst) == 1).await;
        world.source.set(vec![]);
        until("the hook is gone", async || {
            let seen = world.get("/metrics").await.1;
            seen.contains("muster_hooks_loaded") && folder_version(&world) == Some(2)
        })
        .await;
        world.source.hold_find.store(false, Ordering::SeqCst);
        world.source.release.notify_one();
    };
    let (answer, ()) = tokio::join!(asking, removing);
    assert_eq!(answer.status, 401);
    assert_eq!(world.post_good(BODY).await.status, 401, "the removed hook did not come back");
}

/// The version of the hooks that were last saved; by then they are in memory.
fn folder_version(world: &World) -> Option<i64> {
    let state = ingest_gateway::hooks::disk::load(world.folder.path()).expect("the file is whole");
    state.map(|state| state.snapshot.version)
}
