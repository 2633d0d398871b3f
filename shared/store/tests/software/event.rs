//! What readers hear of software.

use std::collections::BTreeSet;

use contract::event::{CloudEvent, SoftwareChanged};
use serde_json::{Value, json};
use store::run::{self, Scope, State};
use store::testing::TestDatabase;

use crate::world::{World, report};

/// Takes the events that the outbox holds, those about software as lines, the imports as they are.
async fn heard(world: &World) -> (Vec<String>, Vec<Value>) {
    let events = "delete from muster.outbox where tenant = $1 and exchange = 'muster.events' returning kind, body";
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(events).bind(world.tenant).fetch_all(&world.pool).await.unwrap();
    let (mut lines, mut imports, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (kind, body) in rows {
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert!(ids.insert(event["id"].to_string()), "two events have one id");
        match kind.as_str() {
            "rmm.import.completed" => imports.push(event["data"].clone()),
            "rmm.sync.completed" | "rmm.sync.failed" => {}
            _ => {
                let data = serde_json::from_slice::<CloudEvent<SoftwareChanged>>(&body).unwrap().data;
                assert_eq!(data.asset_id, world.asset(&data.agent_id).await);
                let change = kind.trim_start_matches("rmm.software.");
                let before = data.previous_version.unwrap_or_default();
                lines.push(format!("{} {change} {} {before}>{} {}", data.agent_id, data.name, data.version, data.rev));
            }
        }
    }
    lines.sort();
    (lines, imports)
}

#[tokio::test]
async fn a_first_list_is_imported_and_every_later_change_is_told_once() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Firefox", "1.0"), ("7-Zip", "24")]), report("b", &[("Firefox", "1.0")])]).await;
    let (lines, imports) = heard(&world).await;
    assert_eq!((lines.len(), imports.len()), (0, 1));
    assert_eq!((&imports[0]["kind"], &imports[0]["part"]), (&json!("software"), &json!("software")));
    assert_eq!(imports[0]["count"], 2);

    let next = [report("a", &[("Firefox", "2.0"), ("VLC", "3")]), report("b", &[("Firefox", "1.0")])];
    world.ingest(&next).await;
    let told = ["a installed VLC >3 2", "a removed 7-Zip >24 2", "a updated Firefox 1.0>2.0 2"];
    let (lines, imports) = heard(&world).await;
    assert_eq!((lines, imports.len()), (told.map(str::to_owned).to_vec(), 0));
    world.ingest(&next).await;
    assert_eq!(heard(&world).await, (Vec::new(), Vec::new()), "the same lists again are no news");
    // a device that reports for the first time later is an import of its own
    world.ingest(&[report("c", &[("Firefox", "2.0")])]).await;
    let (lines, imports) = heard(&world).await;
    assert_eq!((lines.len(), &imports[0]["count"]), (0, &json!(1)));
}

#[tokio::test]
async fn versions_side_by_side_are_told_apart() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Runtime", "1"), ("Runtime", "2")])]).await;
    heard(&world).await;
    world.ingest(&[report("a", &[("Runtime", "10"), ("Runtime", "9"), ("Runtime", "8")])]).await;
    let (lines, _) = heard(&world).await;
    let told = ["a installed Runtime >8 2", "a updated Runtime 1>9 2", "a updated Runtime 2>10 2"];
    assert_eq!(lines, told);
}

#[tokio::test]
async fn lists_of_a_part_that_fails_are_told_as_imported_all_the_same() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(Scope::Software).await;
    world.merge(&world.batch(&fence, &[report("a", &[("Firefox", "1.0")])]).await).await;
    let failed = run::fail(&world.store, world.tenant, fence.run.run_id, None, "the answer was cut").await;
    assert!(failed.unwrap());
    let (_, imports) = heard(&world).await;
    assert_eq!((imports.len(), &imports[0]["count"]), (1, &json!(1)), "no later run will call it a first list");
}

#[tokio::test]
async fn first_lists_that_were_written_before_the_list_became_a_walk_are_told_as_imported() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(Scope::Software).await;
    let (a, b) = (report("a", &[("Firefox", "1.0")]), report("b", &[("Firefox", "1.0")]));
    world.merge(&world.batch(&fence, std::slice::from_ref(&a)).await).await;
    let label = "Software, agent by agent".to_owned();
    let walk = run::NewPart { scope: Scope::SoftwareByAgent, label, expected: Some(2), fails: None };
    assert!(run::plan(&world.store, &fence.run, &[walk]).await.unwrap());
    let part = world.begin(&fence.run, "software:agents").await;
    world.merge(&world.batch(&part.fence, &[a, b]).await).await;
    assert_eq!(run::finish_part(&world.store, &part.fence).await.unwrap(), Some(State::Completed));
    let (_, imports) = heard(&world).await;
    assert_eq!((imports.len(), &imports[0]["count"]), (1, &json!(2)), "{imports:?}");
    let (view, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!((view.counts.seen, view.counts.created, view.counts.unchanged), (2, 2, 1));
}
