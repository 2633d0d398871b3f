//! What the operators' API reads.

use store::software::{self, ChangeFilter, ProgramFilter};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::world::{World, report};

#[tokio::test]
async fn the_catalogue_is_searched_and_paged_with_the_devices_of_each_program() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world
        .ingest(&[report("a", &[("Firefox", "1"), ("Git", "1"), ("100% Fun", "1")]), report("b", &[("Firefox", "2")])])
        .await;
    world.ingest(&[report("a", &[("Firefox", "1"), ("100% Fun", "1")])]).await;
    let list = async |filter: ProgramFilter, after: Option<Uuid>| {
        let page = software::programs(&world.store, world.tenant, &filter, after, 2).await.unwrap();
        page.into_iter().map(|program| (program.name.clone(), program.devices, program)).collect::<Vec<_>>()
    };
    let names = |page: &[(String, i64, software::CatalogProgram)]| {
        page.iter().map(|(name, devices, _)| format!("{name} {devices}")).collect::<Vec<_>>()
    };
    let first = list(ProgramFilter::default(), None).await;
    assert_eq!(names(&first), ["100% Fun 1", "Firefox 2"]);
    assert_eq!(names(&list(ProgramFilter::default(), Some(first[1].2.software_id)).await), ["Git 0"]);
    for (q, found) in [
        ("FIRE", vec!["Firefox 2"]),
        ("%", vec!["100% Fun 1"]),
        ("mozilla", vec!["100% Fun 1", "Firefox 2"]),
        ("_", vec![]),
    ] {
        let filter = ProgramFilter { q: Some(q.to_owned()), installed: None };
        assert_eq!(names(&list(filter, None).await), found, "{q}");
    }
    let gone = ProgramFilter { q: None, installed: Some(false) };
    assert_eq!(names(&list(gone, None).await), ["Git 0"]);
}

#[tokio::test]
async fn the_history_and_a_devices_software_are_paged_and_filtered() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Firefox", "1"), ("Git", "1")]), report("b", &[("Git", "1")])]).await;
    world.ingest(&[report("a", &[("Firefox", "2")]), report("b", &[("Git", "2")])]).await;
    let a = world.asset("a").await;
    let changes = async |filter: &ChangeFilter, after: Option<i64>, rows_max: u16| {
        software::changes(&world.store, world.tenant, filter, after, rows_max).await.unwrap()
    };
    let all = changes(&ChangeFilter::default(), None, 10).await;
    assert_eq!(all.len(), 3);
    let page = changes(&ChangeFilter::default(), Some(all[0].change_id), 10).await;
    assert_eq!(page, all[1..]);
    let removed = ChangeFilter { asset_id: Some(a), change: Some("removed".to_owned()), ..ChangeFilter::default() };
    let removed = changes(&removed, None, 10).await;
    assert_eq!(removed.iter().map(|change| change.name.as_deref()).collect::<Vec<_>>(), [Some("Git")]);
    let git = ChangeFilter { software_id: Some(removed[0].software_id), ..ChangeFilter::default() };
    assert_eq!(changes(&git, None, 10).await.len(), 2);
    let later = ChangeFilter { since: Some(world.now().await), ..ChangeFilter::default() };
    assert!(changes(&later, None, 10).await.is_empty());
    let of_a = async |gone: bool, after: Option<Uuid>| {
        let page = software::installed(&world.store, world.tenant, a, gone, after, 1).await.unwrap();
        page.into_iter().next()
    };
    let first = of_a(true, None).await.unwrap();
    assert_eq!((first.name.as_str(), first.version.as_deref(), first.uninstalled_at), ("Firefox", Some("2"), None));
    let after = Some(first.software_id);
    let second = of_a(true, after).await.unwrap();
    assert_eq!((second.name.as_str(), second.uninstalled_at.is_some(), second.versions.len()), ("Git", true, 0));
    assert!(of_a(false, after).await.is_none());
}
