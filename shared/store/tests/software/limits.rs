//! Odd values never cost a device, let alone the others of its batch.

use chrono::TimeDelta;
use store::software::{Merged, PROGRAMS_MAX, PROGRAMS_WRITTEN_MAX, Program, Report};
use store::testing::TestDatabase;

use crate::world::{World, program, report};

#[tokio::test]
async fn no_odd_value_costs_the_rest_of_a_device() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let wide = "\u{1F4BE}".repeat(600);
    let odd = vec![
        Program { publisher: Some(wide.clone()), ..program(&wide, &wide) },
        Program { publisher: Some("名".repeat(300)), ..program(&"名".repeat(501), &"1".repeat(1_000)) },
        Program { location: Some("C:\\\0".repeat(2_000)), ..program("nul\0", "\0") },
        Program {
            install_date: Some("0000-99-99".to_owned()),
            size: Some("99999999999999999999 TB".to_owned()),
            ..program("odd date and size", "1")
        },
        Program::default(),
        program("Git", "2"),
    ];
    let merged =
        world.ingest(&[Report { agent_id: "a".to_owned(), programs: odd }, report("b", &[("Git", "2")])]).await;
    assert_eq!(merged, Merged { first: 2, ..Merged::default() });
    assert_eq!(world.lines().await.len(), 6);
}

#[tokio::test]
async fn names_of_any_alphabet_stay_apart_and_a_publisher_is_never_null() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let names = ["Яндекс.Браузер", "微信", "腾讯QQ", "Übersetzer", "…"];
    let programs = names.map(|name| Program { publisher: None, ..program(name, "1") });
    let reports = [Report { agent_id: "a".to_owned(), programs: programs.to_vec() }];
    world.ingest(&reports).await;
    assert_eq!(
        world.number("select count(distinct normalized_name) from software_catalog where publisher = ''").await,
        5
    );
    let lines = world.lines().await;
    let shown: std::collections::BTreeSet<&str> = lines.iter().map(|line| line.1.as_str()).collect();
    assert_eq!(shown, names.into());
}

#[tokio::test]
async fn dates_sizes_and_paths_are_kept() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let told = Program {
        install_date: Some("2024-6-01".to_owned()),
        size: Some("12.5 MB".to_owned()),
        location: Some("C:\\Git\\".to_owned()),
        ..program("Git", "2")
    };
    world.ingest(&[Report { agent_id: "a".to_owned(), programs: vec![told] }]).await;
    let kept = "select count(*) from asset_software
                where install_date = '2024-06-01' and size_bytes = 13107200 and install_path = 'C:\\Git\\'";
    assert_eq!(world.number(kept).await, 1);
}

#[tokio::test]
async fn a_device_has_as_many_programs_as_are_kept() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let programs: Vec<Program> = (0..=PROGRAMS_MAX).map(|number| program(&format!("P{number}"), "1")).collect();
    world.ingest(&[Report { agent_id: "a".to_owned(), programs }]).await;
    assert_eq!(world.number("select count(*) from asset_software").await, PROGRAMS_MAX as i64);
}

#[tokio::test]
async fn a_transaction_writes_so_many_programs_and_the_next_one_the_rest() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let programs: Vec<Program> = (0..PROGRAMS_MAX).map(|number| program(&format!("P{number}"), "1")).collect();
    let full = ["a", "b"].map(|id| Report { agent_id: id.to_owned(), programs: programs.clone() });
    assert_eq!(full.len() * PROGRAMS_MAX, PROGRAMS_WRITTEN_MAX);
    let transactions = "select count(distinct xmin::text) from muster.software_report";
    assert_eq!(world.ingest(&full).await.first, 2);
    assert_eq!(world.number(transactions).await, 1, "as many fit");
    // what goes is written as well: of an empty list the programs that stand there count
    assert_eq!(world.ingest(&[report("c", &[("P1", "1")])]).await.first, 1);
    let all = ["a", "b", "c"];
    let empty = all.map(|id| report(id, &[]));
    let began = world.now().await;
    assert_eq!(world.ingest_in(1, &empty).await.emptied, 3);
    for id in all {
        world.heard(id, began, TimeDelta::hours(3)).await;
    }
    assert_eq!(world.ingest_in(4, &empty).await, Merged { changed: 3, ..Merged::default() });
    assert_eq!(world.number(transactions).await, 2, "one more does not");
    assert_eq!(world.number("select count(*) from asset_software where is_current").await, 0);
    for (column, sum) in [("seen", 9), ("created", 3), ("updated", 3), ("unchanged", 3)] {
        assert_eq!(world.number(&format!("select sum({column}) from muster.run_part")).await, sum, "{column}");
    }
}
