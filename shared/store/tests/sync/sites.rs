//! Devices that are gone from a client that is read by its sites.

use std::collections::HashSet;

use store::device::{self, Batch, Device};
use store::run::{self, Fence, State};
use store::testing::TestDatabase;

use crate::world::{World, device};

fn listed(ids: &[&str]) -> HashSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn of(site: &str, agent_id: &str) -> Device {
    Device { site: Some(site.to_owned()), ..device(agent_id) }
}

/// Client 1 with these sites, as the last list of clients told of them.
async fn sites(world: &World, sites: &[(i64, &str)]) {
    let (tenant, integration) = (world.tenant, world.integration_id);
    for (id, name) in sites {
        world
            .run(&format!("insert into muster.site values ('{tenant}', '{integration}', '{id}', '1', '{name}')"))
            .await;
    }
}

/// A part whose list shows these devices, to its end.
async fn read(world: &World, run: &Fence, part: &str, devices: &[Device]) -> Option<State> {
    let fence = world.begin(run, part).await;
    let fetched_at = world.store.database_now().await.unwrap();
    world.merge(&Batch { fence: Some(fence.clone()), fetched_at, ..world.batch(devices) }).await;
    let seen = devices.iter().map(|device| device.agent_id.clone()).collect();
    device::candidates(&world.store, &fence, &seen).await.unwrap().unwrap();
    run::finish_part(&world.store, &fence).await.unwrap()
}

async fn planned(world: &World, names: &[&str]) -> Fence {
    let fence = world.taken(run::Kind::Devices).await;
    let parts: Vec<_> = names.iter().map(|name| crate::world::part(name)).collect();
    assert!(run::plan(&world.store, &fence, &parts).await.unwrap());
    fence
}

/// The second list shows these agents.
async fn confirm(world: &World, run: &Fence, agents: &[&str]) -> u64 {
    let fence = world.begin(run, "confirm").await;
    let marked = device::confirm_missing(&world.store, &fence, &listed(agents)).await.unwrap().unwrap();
    assert!(run::finish_part(&world.store, &fence).await.unwrap().is_some_and(State::is_ended));
    marked
}

/// The agents that are missing, and those that are under no client.
async fn outcome(world: &World) -> (String, String) {
    let missing =
        "select string_agg(agent_id, ' ' order by agent_id) from muster.agent where missing_since is not null";
    let left = "select string_agg(agent_id, ' ' order by agent_id) from muster.agent where external_client_id is null";
    (world.text(missing).await, world.text(left).await)
}

#[tokio::test]
async fn a_device_of_a_deleted_site_is_missing_once_every_site_of_its_client_lacks_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // names come with and without the space around them; Bonn is in no list any more
    sites(&world, &[(11, " HQ"), (12, "Köln "), (13, "Bonn")]).await;
    world.merge(&world.batch(&[of("HQ", "a"), of("Köln", "b"), of("Köln", "gone"), of("Bonn", "c")])).await;
    let run = planned(&world, &["site:11", "site:12"]).await;
    assert_eq!(read(&world, &run, "site:11", &[of("HQ", "a")]).await, Some(State::Running));
    assert_eq!(
        read(&world, &run, "site:12", &[of("Köln", "b")]).await,
        Some(State::Running),
        "two are to be confirmed"
    );
    assert_eq!(confirm(&world, &run, &["a", "b"]).await, 2);
    assert_eq!(outcome(&world).await, ("c gone".to_owned(), String::new()));
}

#[tokio::test]
async fn a_device_of_a_renamed_site_stays_where_it_is_whichever_site_is_read_first() {
    for order in [["site:11", "site:12"], ["site:12", "site:11"]] {
        let database = TestDatabase::create().await;
        let world = World::new(&database).await;
        // the list of clients is older than the new name, under which the agents are known already
        sites(&world, &[(11, "HQ"), (12, "Cologne")]).await;
        world.merge(&world.batch(&[of("HQ", "a"), of("Köln", "b"), of("Köln", "gone")])).await;
        let run = planned(&world, &["site:11", "site:12"]).await;
        let shown = |part| if part == "site:11" { vec![of("HQ", "a")] } else { vec![of("Köln", "b")] };
        for part in order {
            read(&world, &run, part, &shown(part)).await;
        }
        assert_eq!(confirm(&world, &run, &["a", "b"]).await, 1, "{order:?}");
        assert_eq!(outcome(&world).await, ("gone".to_owned(), String::new()), "{order:?}");
    }
}

#[tokio::test]
async fn a_device_of_an_unknown_site_is_not_missing_while_a_site_of_its_client_was_not_read() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    sites(&world, &[(11, "HQ"), (12, "Cologne")]).await;
    world.merge(&world.batch(&[of("HQ", "a"), of("HQ", "gone"), of("Köln", "b")])).await;
    let run = planned(&world, &["site:11", "site:12"]).await;
    read(&world, &run, "site:11", &[of("HQ", "a")]).await;
    world.begin(&run, "site:12").await;
    run::fail_part(&world.store, &run, "site:12", "502").await.unwrap();
    assert_eq!(
        confirm(&world, &run, &["a"]).await,
        1,
        "the site of one was read, that of the other may be the failed one"
    );
    assert_eq!(outcome(&world).await, ("gone".to_owned(), String::new()));
}

#[tokio::test]
async fn a_device_that_changed_sites_within_its_client_is_where_it_is_shown() {
    for order in [["site:11", "site:12"], ["site:12", "site:11"]] {
        let database = TestDatabase::create().await;
        let world = World::new(&database).await;
        sites(&world, &[(11, "HQ"), (12, "Köln")]).await;
        world.merge(&world.batch(&[of("HQ", "a"), of("HQ", "moved"), of("Köln", "b")])).await;
        let run = planned(&world, &["site:11", "site:12"]).await;
        let mut state = None;
        for part in order {
            let shown =
                if part == "site:11" { vec![of("HQ", "a")] } else { vec![of("Köln", "b"), of("Köln", "moved")] };
            state = read(&world, &run, part, &shown).await;
        }
        assert_eq!(state, Some(State::Completed), "{order:?}: nobody is absent");
        assert_eq!(outcome(&world).await, (String::new(), String::new()), "{order:?}");
        assert_eq!(world.seen().await["moved"].location.as_deref(), Some("Köln"), "{order:?}");
    }
}
