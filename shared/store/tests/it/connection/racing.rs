//! A connection's settings, changed by two at once or during a test.

use super::*;

#[tokio::test]
async fn what_changed_during_a_test_is_not_undone_by_it() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let told = async |revision| {
        connection::note_test(&store, &note(id, revision, URL, true), &entry("integration.test")).await.unwrap()
    };
    // first the disconnect, then what the test told
    let before = find(&store).await.revision;
    assert!(connection::disconnect(&store, Uuid::from_u128(1), &entry("x")).await.unwrap());
    assert_eq!(told(before).await, None);
    let found = find(&store).await;
    assert!(!found.is_active && found.tested_at.is_none(), "{found:?}");
    // first what the test told, then the disconnect
    saved(&store, &save(URL, AuthMode::Knox, login(1))).await;
    assert_eq!(told(find(&store).await.revision).await, Some(true));
    assert!(connection::disconnect(&store, Uuid::from_u128(1), &entry("x")).await.unwrap());
    assert!(!find(&store).await.is_active);
    // a password that was entered during the test of the one before
    saved(&store, &save(URL, AuthMode::Knox, login(1))).await;
    let before = find(&store).await.revision;
    saved(&store, &save(URL, AuthMode::Knox, login(5))).await;
    assert_eq!(told(before).await, None);
    assert!(!find(&store).await.is_active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_save_different_settings_at_once_both_are_kept() {
    let database = TestDatabase::create().await;
    let (store, _) = knox(&database).await;
    let nothing =
        Save { tenant: Uuid::from_u128(1), instance_url: None, auth_mode: None, device_source: None, secrets: vec![] };
    for _ in 0..15 {
        let start = save(URL, AuthMode::Knox, vec![]);
        saved(&store, &start).await;
        let changes = [
            Save { device_source: Some(DeviceSource::Beta), ..nothing.clone() },
            Save { auth_mode: Some(AuthMode::ApiKey), ..nothing.clone() },
            Save { instance_url: Some("https://API.example.com".to_owned()), ..nothing.clone() },
        ];
        let both = changes.map(|change| {
            let store = database.second_store();
            tokio::spawn(async move { saved(&store, &change).await })
        });
        for one in both {
            within(one).await.unwrap();
        }
        let found = find(&store).await;
        assert_eq!((found.device_source, found.auth_mode), (DeviceSource::Beta, AuthMode::ApiKey));
        assert_eq!(found.instance_url.as_deref(), Some("https://API.example.com"));
    }
}
