//! Limits, on both sides of their edge.

use store::organization::{self, Match, Organization, Outcome, Site, apply_clients};
use store::run::{self, Kind, PartView, RunView};
use store::testing::TestDatabase;

use crate::world::{World, device, part};

/// What a mapping's proposals are cut to.
const PROPOSALS_MAX: usize = 5;
/// Sites that a mapping's metadata names.
const SITES_MAX: usize = 200;
/// Failed parts that a run's error names.
const NAMED_MAX: usize = 10;
/// Characters of a part's cause.
const CAUSE_CHARS_MAX: usize = 500;
/// Characters of a run's error.
const ERROR_CHARS_MAX: usize = 2_000;

async fn find(world: &World, id: &str) -> organization::Mapping {
    let mappings = organization::list(&world.store, world.tenant).await.unwrap();
    mappings.into_iter().find(|mapping| mapping.external_organization_id == id).unwrap()
}

#[tokio::test]
async fn of_many_clients_of_one_name_five_are_proposed_and_the_exact_one_first() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let tenant = world.tenant;
    for count in 1..=PROPOSALS_MAX + 2 {
        // the last that comes is called exactly so
        let name =
            if count == PROPOSALS_MAX + 2 { "Initech".to_owned() } else { format!("INITECH{}", ".".repeat(count)) };
        world.run(&format!("insert into clients (tenant, client_name) values ('{tenant}', '{name}')")).await;
        let proposals = find(&world, "3").await.proposals;
        assert_eq!(proposals.len(), count.min(PROPOSALS_MAX));
    }
    let proposals = find(&world, "3").await.proposals;
    assert_eq!((proposals[0].found, proposals[0].client.name.as_str()), (Match::Exact, "Initech"));
    assert!(proposals[1..].iter().all(|proposal| proposal.found == Match::Normalized));
}

async fn apply(world: &World, organization: Organization) {
    let fence = world.taken(Kind::Clients).await;
    run::plan(&world.store, &fence, &[part("clients")]).await.unwrap();
    let fence = world.begin(&fence, "clients").await;
    let outcome = apply_clients(&world.store, &fence, world.integration_id, &[organization]).await.unwrap();
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    run::finish_part(&world.store, &fence).await.unwrap();
}

#[tokio::test]
async fn a_mapping_names_two_hundred_sites_and_all_of_them_are_known() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for count in [SITES_MAX, SITES_MAX + 1] {
        let site = |id| Site { id, name: format!("Site {id}"), agent_count: Some(1) };
        let sites: Vec<Site> = (1..=i64::try_from(count).unwrap()).map(site).collect();
        apply(&world, Organization { id: 1, name: "Acme".to_owned(), agent_count: Some(3), sites }).await;
        let metadata = "select jsonb_array_length(metadata -> 'sites') || ' of ' || (metadata ->> 'site_count')
                        from rmm_organization_mappings where external_organization_id = '1'";
        assert_eq!(world.text(metadata).await, format!("{SITES_MAX} of {count}"));
        assert_eq!(world.number("select count(*) from muster.site").await, i64::try_from(count).unwrap());
        let last = i64::try_from(count).unwrap();
        let found = organization::find_client(&world.store, world.tenant, world.integration_id, Some(last), None).await;
        assert_eq!(found.unwrap().as_deref(), Some("1"));
    }
}

/// A run of so many parts that all fail, but for the first.
async fn failed(world: &World, parts: usize, cause: &str) -> (RunView, Vec<PartView>) {
    let names: Vec<String> = (1..=parts + 1).map(|number| format!("client:{number}")).collect();
    let first = world.begun(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.complete(&first, &[device("a")]).await;
    for name in &names[1..] {
        run::fail_part(&world.store, &first.run, name, cause).await.unwrap();
    }
    run::get(&world.store, world.tenant, first.run.run_id).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_error_names_ten_failed_parts_and_counts_the_rest() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for (parts, rest) in
        [(NAMED_MAX, None), (NAMED_MAX + 1, Some("; and 1 more")), (NAMED_MAX + 5, Some("; and 5 more"))]
    {
        let error = failed(&world, parts, "timeout").await.0.error.unwrap();
        assert!(error.starts_with(&format!("{parts} of {} parts failed: label of client:", parts + 1)), "{error}");
        assert_eq!(error.matches(": timeout").count(), NAMED_MAX, "{error}");
        assert_eq!(error.find("; and ").map(|at| &error[at..]), rest, "{error}");
    }
}

#[tokio::test]
async fn causes_and_errors_are_cut_to_what_is_read() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let chars = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
    for length in [CAUSE_CHARS_MAX - 1, CAUSE_CHARS_MAX, CAUSE_CHARS_MAX + 1, 100 * CAUSE_CHARS_MAX] {
        let (run, parts) = failed(&world, 1, &"ü".repeat(length)).await;
        assert_eq!(chars(&parts[1].error), Some(length.min(CAUSE_CHARS_MAX)), "{length}");
        assert!(chars(&run.error) > chars(&parts[1].error), "a run's error holds the whole cause of its one part");
        // of the whole run
        let fence = world.taken(Kind::Clients).await;
        let (store, tenant) = (&world.store, world.tenant);
        assert!(run::fail(store, tenant, fence.run_id, None, "ü".repeat(length).as_str()).await.unwrap());
        let (run, _) = run::get(store, tenant, fence.run_id).await.unwrap().unwrap();
        assert_eq!(chars(&run.error), Some(length.min(CAUSE_CHARS_MAX)), "{length}");
    }
    let (run, _) = failed(&world, NAMED_MAX, &"ü".repeat(CAUSE_CHARS_MAX)).await;
    assert_eq!(chars(&run.error), Some(ERROR_CHARS_MAX));
    assert!(run.error.unwrap().starts_with("10 of 11 parts failed: "), "how many is told before the causes");
}
