//! A run says truthfully what happened.

use store::Error;
use store::device::Batch;
use store::run::{self, Kind, NewPart, RunFilter, State};
use store::testing::TestDatabase;

use crate::world::{World, device, entry, part};

/// What the connection shows.
async fn shown(world: &World) -> String {
    let row = "select concat_ws('|', sync_status, sync_error, last_sync_at is not null, last_full_sync_at is not null)
               from rmm_integrations";
    world.text(row).await
}

#[tokio::test]
async fn a_run_is_started_once_with_its_message_and_its_audit() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let start = async || {
        run::start(&world.store, world.tenant, world.integration_id, Kind::Devices, "bob", &entry()).await.unwrap()
    };
    let first = start().await;
    assert!(first.is_new);
    let again = start().await;
    assert_eq!((again.run_id, again.is_new), (first.run_id, false));
    assert_eq!(world.number("select count(*) from muster.outbox").await, 1);
    assert_eq!(world.number("select count(*) from muster.audit").await, 1);
    // one that went to sleep is sent once more
    world.run("update muster.run set requested_at = now() - interval '16 min'; delete from muster.outbox").await;
    for _ in 0..2 {
        assert_eq!(start().await.run_id, first.run_id);
    }
    let sent =
        "select string_agg(kind || ' ' || routing_key || ' ' || convert_from(body, 'UTF8'), ',') from muster.outbox";
    let expected = format!(
        "devices.sync.v1 sync-worker.bulk.devices.sync.v1 {{\"integration_id\":\"{}\",\"run_id\":\"{}\"}}",
        world.integration_id, first.run_id
    );
    assert_eq!(world.text(sent).await, expected);
    world.run("update rmm_integrations set is_active = false").await;
    let refused =
        run::start(&world.store, world.tenant, world.integration_id, Kind::Clients, "bob", &entry()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn a_complete_run_of_devices_is_the_only_thing_that_moves_the_full_stamp() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let clients = world.taken(Kind::Clients).await;
    assert_eq!(shown(&world).await, "syncing|f|f");
    run::plan(&world.store, &clients, &[part("clients")]).await.unwrap();
    assert_eq!(world.number("select count(*) from muster.outbox where kind = 'devices.sync.v1'").await, 0);
    let clients = world.begin(&clients, "clients").await;
    assert_eq!(run::finish_part(&world.store, &clients).await.unwrap(), Some(State::Completed));
    assert_eq!(shown(&world).await, "completed|t|f");
    let devices = world.begun(&["client:1"]).await;
    assert_eq!(world.complete(&devices, &[device("a")]).await, Some(State::Completed));
    assert_eq!(shown(&world).await, "completed|t|t");
    let synced = "select string_agg(external_organization_id, ',') from rmm_organization_mappings
                  where last_synced_at is not null";
    assert_eq!(world.text(synced).await, "1");
}

#[tokio::test]
async fn a_client_that_a_device_has_left_is_synced_once_its_new_one_has_shown_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = world.begun(&["client:1"]).await;
    world.complete(&first, &[device("a"), device("b")]).await;
    world.run("update rmm_organization_mappings set last_synced_at = null").await;
    let left = world.begun(&["client:1", "client:2"]).await;
    world.complete(&left, &[device("a")]).await;
    let synced = "select string_agg(external_organization_id, ',' order by external_organization_id)
                  from rmm_organization_mappings where last_synced_at is not null";
    assert_eq!(world.text(synced).await, "", "nobody has shown the other device yet");
    let entered = world.begin(&left.run, "client:2").await;
    world
        .merge(&Batch {
            external_client_id: "2".to_owned(),
            fence: Some(entered.clone()),
            ..world.batch(&[device("b")])
        })
        .await;
    let seen = ["b".to_owned()].into();
    store::device::candidates(&world.store, &entered, &seen).await.unwrap();
    assert_eq!(run::finish_part(&world.store, &entered).await.unwrap(), Some(State::Completed));
    assert_eq!(world.text(synced).await, "1,2");
}

#[tokio::test]
async fn why_an_attempt_failed_is_told_until_another_has_ended() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let taken = world.taken(Kind::Devices).await;
    let told = async || {
        let (run, parts) = run::get(&world.store, world.tenant, taken.run_id).await.unwrap().unwrap();
        (run.error, parts.into_iter().next().and_then(|part| part.error))
    };
    assert!(run::note_run_trouble(&world.store, &taken, "timeout").await.unwrap());
    assert_eq!(told().await, (Some("timeout".to_owned()), None));
    assert_eq!(shown(&world).await, "syncing|f|f", "nothing has failed");
    run::plan(&world.store, &taken, &[part("client:1")]).await.unwrap();
    assert_eq!(told().await, (None, None));

    let first = world.begin(&taken, "client:1").await;
    assert!(run::note_part_trouble(&world.store, &first, "502").await.unwrap());
    let second = world.begin(&taken, "client:1").await;
    assert_eq!(told().await, (None, Some("502".to_owned())));
    assert!(!run::note_part_trouble(&world.store, &first, "it woke up late").await.unwrap());
    let other = run::Fence { epoch: taken.epoch - 1, ..taken.clone() };
    assert!(!run::note_run_trouble(&world.store, &other, "it woke up late").await.unwrap());
    world.complete(&second, &[device("a")]).await;
    assert_eq!(told().await, (None, None));
    assert!(!run::note_part_trouble(&world.store, &second, "late").await.unwrap());
    assert!(!run::note_run_trouble(&world.store, &taken, "late").await.unwrap());
}

#[tokio::test]
async fn a_run_that_could_read_no_client_has_failed_whatever_its_second_look_told() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(&["client:1"]).await;
    world.run("insert into muster.run_part (tenant, run_id, name, label) select tenant, run_id, 'confirm', 'c' from muster.run").await;
    assert_eq!(run::fail_part(&world.store, &fence.run, "client:1", "502").await.unwrap(), Some(State::Running));
    let confirm = world.begin(&fence.run, "confirm").await;
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Failed));
    assert_eq!(
        shown(&world).await,
        "error|devices: 1 of 2 parts failed: label of client:1: 502|f|f",
        "nothing was read"
    );
}

#[tokio::test]
async fn a_part_that_begins_anew_still_tells_what_it_has_created() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(&["client:1"]).await;
    world.merge(&Batch { fence: Some(fence.clone()), ..world.batch(&[device("a")]) }).await;
    let again = world.begin(&fence.run, "client:1").await;
    world.complete(&again, &[device("a"), device("b")]).await;
    let (run, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!((run.counts.created, run.counts.seen), (2, 2));
}

#[tokio::test]
async fn a_partial_run_says_which_parts_failed_and_why_and_moves_no_full_stamp() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = world.begun(&["client:1", "client:2"]).await;
    assert_eq!(world.complete(&first, &[device("a")]).await, Some(State::Running));
    let failed = run::fail_part(&world.store, &first.run, "client:2", "cannot read: timeout\0").await.unwrap();
    assert_eq!(failed, Some(State::Partial));
    let error = "1 of 2 parts failed: label of client:2: cannot read: timeout\u{FFFD}";
    assert_eq!(shown(&world).await, format!("error|devices: {error}|t|f"));
    let (run, parts) = run::get(&world.store, world.tenant, first.run.run_id).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.error.as_deref(), run.parts_done, run.parts_failed),
        (State::Partial, Some(error), 1, 1)
    );
    assert_eq!(parts.len(), 2);
    assert!(
        run.finished_at.is_some()
            && run::page(&world.store, world.tenant, &RunFilter::default(), 10).await.unwrap() == [run]
    );
}

#[tokio::test]
async fn an_error_is_not_erased_by_a_later_success_of_something_else() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let devices = world.begun(&["client:1"]).await;
    assert!(run::fail(&world.store, world.tenant, devices.run.run_id, None, "the API key was refused").await.unwrap());
    assert_eq!(shown(&world).await, "error|devices: the API key was refused|f|f");
    let clients = world.taken(Kind::Clients).await;
    assert_eq!(shown(&world).await, "syncing|devices: the API key was refused|f|f");
    assert!(run::plan(&world.store, &clients, &[part("clients")]).await.unwrap());
    let clients = world.begin(&clients, "clients").await;
    run::finish_part(&world.store, &clients).await.unwrap();
    assert_eq!(shown(&world).await, "error|devices: the API key was refused|t|f");
    // nor by a partial one of the same kind, which has an error of its own
    let partial = world.begun(&["client:1", "client:2"]).await;
    world.complete(&partial, &[]).await;
    run::fail_part(&world.store, &partial.run, "client:2", "timeout").await.unwrap();
    assert!(shown(&world).await.starts_with("error|devices: 1 of 2 parts failed"), "{}", shown(&world).await);
    let full = world.begun(&["client:1"]).await;
    world.complete(&full, &[]).await;
    assert_eq!(shown(&world).await, "completed|t|t");
}

#[tokio::test]
async fn a_run_that_fails_in_the_middle_keeps_what_is_done_and_says_so() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = world.begun(&["client:1", "client:2"]).await;
    world.complete(&first, &[device("a")]).await;
    assert!(run::fail(&world.store, world.tenant, first.run.run_id, Some(first.run.epoch), "forbidden").await.unwrap());
    let (run, parts) = run::get(&world.store, world.tenant, first.run.run_id).await.unwrap().unwrap();
    assert_eq!((run.state, run.error.as_deref()), (State::Partial, Some("forbidden")));
    assert_eq!((run.parts_done, run.parts_failed, parts[1].error.as_deref()), (1, 1, Some("forbidden")));
    assert!(!run::fail(&world.store, world.tenant, first.run.run_id, None, "again").await.unwrap());
    assert_eq!(run::take_over(&world.store, world.tenant, first.run.run_id).await.unwrap(), None);
}

#[tokio::test]
async fn planning_again_keeps_what_is_done_and_sends_what_is_open() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = world.begun(&["client:1", "client:2", "client:9"]).await;
    world.complete(&first, &[device("a")]).await;
    world.run("delete from muster.outbox").await;
    let taken = run::take_over(&world.store, world.tenant, first.run.run_id).await.unwrap().unwrap().fence;
    assert!(run::plan(&world.store, &taken, &[part("client:1"), part("client:2"), part("client:3")]).await.unwrap());
    let (_, parts) = run::get(&world.store, world.tenant, taken.run_id).await.unwrap().unwrap();
    let states: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.state.as_str())).collect();
    assert_eq!(states, [("client:1", "done"), ("client:2", "open"), ("client:3", "open")]);
    let sent = "select string_agg(part ->> 'name', ',' order by part ->> 'name')
                from (select convert_from(body, 'UTF8')::json -> 'part' as part from muster.outbox) message
                where (part ->> 'epoch')::int = 2";
    assert_eq!(world.text(sent).await, "client:2,client:3");
    assert_eq!(run::begin_part(&world.store, &taken, "client:1").await.unwrap(), None, "it is done");
}

#[tokio::test]
async fn a_run_with_nothing_to_read_ends_at_once() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let taken = world.taken(Kind::Devices).await;
    assert!(run::plan(&world.store, &taken, &[]).await.unwrap());
    let (run, _) = run::get(&world.store, world.tenant, taken.run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::Completed);
}

#[tokio::test]
async fn a_client_in_several_parts_is_synced_when_all_of_them_are() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (tenant, integration) = (world.tenant, world.integration_id);
    world
        .run(&format!(
            "insert into muster.site (tenant, integration_id, site_id, external_client_id, name)
             values ('{tenant}', '{integration}', '10', '1', 'HQ'), ('{tenant}', '{integration}', '11', '1', 'Branch')"
        ))
        .await;
    let first = world.begun(&["site:10", "site:11:server"]).await;
    let synced = "select count(*) from rmm_organization_mappings where last_synced_at is not null";
    run::finish_part(&world.store, &first).await.unwrap();
    assert_eq!(world.number(synced).await, 0);
    let second = world.begin(&first.run, "site:11:server").await;
    assert_eq!(run::finish_part(&world.store, &second).await.unwrap(), Some(State::Completed));
    assert_eq!(world.number(synced).await, 1);
}

#[tokio::test]
async fn a_part_that_was_left_by_a_persons_decision_says_nothing_about_its_client() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("a"), device("b")]) }).await;
    let left = world.begun(&["client:1", "client:2"]).await;
    assert_eq!(run::leave_part(&world.store, &left).await.unwrap(), Some(State::Running));
    let synced = "select string_agg(external_organization_id, ',') from rmm_organization_mappings
                  where last_synced_at is not null";
    assert_eq!(world.text(synced).await, "");
    // neither does the part that confirms what another client lacks
    let second = world.begin(&left.run, "client:2").await;
    world.complete(&second, &[device("a")]).await;
    let confirm = world.begin(&left.run, "confirm").await;
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Completed));
    assert_eq!(world.text(synced).await, "2");
}

#[tokio::test]
async fn a_part_that_cannot_be_read_fails_as_it_is_planned() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let taken = world.taken(Kind::Devices).await;
    let hidden = || NewPart { fails: Some("it is not shown".to_owned()), ..part("client:2") };
    // open when the run was planned first
    assert!(run::plan(&world.store, &taken, &[part("client:1"), part("client:2")]).await.unwrap());
    assert!(run::plan(&world.store, &taken, &[part("client:1"), hidden()]).await.unwrap());
    assert_eq!(run::begin_part(&world.store, &taken, "client:2").await.unwrap(), None);
    let one = world.begin(&taken, "client:1").await;
    assert_eq!(world.complete(&one, &[device("a")]).await, Some(State::Partial));
    let (run, parts) = run::get(&world.store, world.tenant, taken.run_id).await.unwrap().unwrap();
    assert_eq!(run.error.as_deref(), Some("1 of 2 parts failed: label of client:2: it is not shown"));
    assert!(parts[1].finished_at.is_some());
    // with nothing else to read the run has failed at once, and nothing was sent for it
    let taken = world.taken(Kind::Devices).await;
    assert!(run::plan(&world.store, &taken, &[hidden()]).await.unwrap());
    let (run, _) = run::get(&world.store, world.tenant, taken.run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::Failed);
    let sent = format!(
        "select count(*) from muster.outbox
         where exchange = 'muster.work' and convert_from(body, 'UTF8') like '%{}%client:%'",
        run.run_id
    );
    assert_eq!(world.number(&sent).await, 0);
}
