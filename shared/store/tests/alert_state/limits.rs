//! Values at the edge of their columns and beyond: nothing odd fails a batch, and its bytes are kept.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use store::agent::AGENT_ID_CHARS_MAX;
use store::alert::{DIGESTS_MAX, Fact, Odd, Said, bound};
use store::testing::TestDatabase;

use crate::world::{World, time};

#[tokio::test]
async fn a_number_of_255_characters_is_itself_and_longer_ones_stay_different() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let edge = "é".repeat(bound::EXTERNAL_ID_CHARS_MAX);
    let (a, b) = (format!("{edge}a"), format!("{edge}b"));
    let open = |number: &str| world.fact(Said::Open, 1, Some(number), None);
    world.observe(&[open(&edge), open(&a), open(&b)]).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 3);
    assert!(rows.contains_key(&edge));
    world.observe(&[world.fact(Said::Resolve, 2, Some(&a), None)]).await;
    let open: BTreeSet<String> =
        world.rows().await.into_iter().filter(|(_, row)| row.status == "active").map(|(number, _)| number).collect();
    assert_eq!(open.len(), 2);
    assert!(open.contains(&edge));
    assert_eq!(world.number("select count(*) from muster.alert_raw where 'cut' = any(reasons)").await, 3);
}

#[tokio::test]
async fn an_agent_of_300_bytes_is_kept_whole_while_its_characters_fit() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fits = "é".repeat(150);
    let long = "é".repeat(300);
    let open =
        |agent: &str, at_s| Fact { agent_id: agent.to_owned(), ..world.fact(Said::Open, at_s, None, Some(at_s)) };
    world.observe(&[open(&fits, 1), open(&long, 2)]).await;
    let agents: BTreeSet<String> = world.rows().await.into_values().filter_map(|row| row.agent_id).collect();
    assert!(agents.contains(&fits));
    assert!(agents.iter().any(|agent| agent.chars().count() == AGENT_ID_CHARS_MAX));
    world.observe(&[Fact { said: Said::Resolve, at: time(9), ..open(&long, 2) }]).await;
    assert_eq!(world.rows().await.values().filter(|row| row.status == "resolved").count(), 1);
}

#[tokio::test]
async fn nul_and_huge_texts_are_bounded_and_the_bytes_kept() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut fact = world.fact(Said::Open, 1, Some("7\0"), None);
    fact.agent_id = "a\0b".to_owned();
    fact.details.message = Some("\u{1F4A9}\0".repeat(bound::MESSAGE_CHARS_MAX));
    fact.details.alert_type = Some("t".repeat(bound::ALERT_TYPE_CHARS_MAX + 1));
    fact.details.host_name = Some("h".repeat(bound::FIELD_CHARS_MAX + 1));
    fact.details.check_id = Some("\u{FFFD}".repeat(bound::FIELD_CHARS_MAX + 1));
    fact.raw = vec![0; bound::RAW_BYTES_MAX + 1];
    world.observe(&[fact]).await;
    let row = world.row().await;
    assert_eq!(row.agent_id.as_deref(), Some("a\u{FFFD}b"));
    assert_eq!(row.message.unwrap().chars().count(), bound::MESSAGE_CHARS_MAX);
    assert_eq!(row.alert_type.unwrap().chars().count(), bound::ALERT_TYPE_CHARS_MAX);
    assert_eq!(row.dedup_key.chars().count(), bound::DEDUP_KEY_CHARS_MAX);
    assert_eq!(
        world.number("select octet_length(raw)::bigint from muster.alert_raw").await,
        bound::RAW_BYTES_MAX as i64
    );
}

#[tokio::test]
async fn a_time_that_no_table_can_hold_names_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut fact = world.fact(Said::Open, 1, Some("7"), None);
    fact.alert_time = Some(DateTime::<Utc>::MAX_UTC);
    world.observe(&[fact]).await;
    assert_eq!(world.row().await.triggered_at, time(1));
    assert_eq!(world.number("select count(*) from muster.alert_raw where reasons = '{cut}'").await, 1);
}

#[tokio::test]
async fn beyond_the_digests_a_copy_counts_once_more_and_changes_nothing_else() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = world.fact(Said::Open, 0, Some("7"), Some(1));
    let facts: Vec<Fact> =
        (0..DIGESTS_MAX as i64).map(|at_s| world.fact(Said::PolledOpen, at_s, Some("7"), Some(1))).collect();
    world.observe(std::slice::from_ref(&first)).await;
    world.observe(&facts[1..]).await;
    let before = world.row().await;
    assert_eq!(before.rev, 2 * DIGESTS_MAX as i64);
    world.observe(std::slice::from_ref(&first)).await;
    assert_eq!(world.row().await, before, "at the limit every fact is still known");
    world.observe(&facts[..1]).await;
    world.observe(&[first]).await;
    let after = world.row().await;
    assert_eq!(after.rev, before.rev + 4);
    assert_eq!(after, crate::world::Row { rev: after.rev, ..before });
}

#[tokio::test]
async fn an_odd_fact_keeps_its_bytes_and_an_ordinary_one_does_not() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut odd = world.fact(Said::Open, 1, Some("7"), None);
    (odd.odd, odd.raw) = (vec![Odd::Truncated, Odd::UnknownSeverity], b"\xed\xa0\x80".to_vec());
    let mut sound = world.fact(Said::Open, 2, Some("8"), None);
    sound.raw = b"{}".to_vec();
    world.observe(&[odd, sound]).await;
    assert_eq!(world.number("select count(*) from muster.alert_raw").await, 1);
    let reasons = "select count(*) from muster.alert_raw where reasons = '{truncated,unknown_severity}'";
    assert_eq!(world.number(reasons).await, 1);
}

#[tokio::test]
async fn a_number_that_looks_like_one_of_our_names_stays_another_alert() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 1, None, Some(5))]).await;
    let name = world.rows().await.into_keys().next().expect("one row");
    assert!(name.starts_with("at:"), "{name}");
    let forged = Fact { agent_id: "another-agent".to_owned(), ..world.fact(Said::Open, 2, Some(&name), None) };
    world.observe(std::slice::from_ref(&forged)).await;
    let rows = world.rows().await;
    assert_eq!(rows.into_keys().collect::<Vec<_>>(), [name.clone(), format!("id:{name}")]);
}
