//! Sealed secrets: set, deleted, and re-sealed page by page beside people who change them.

use store::secret::{self, Row, Sealed};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::text;

fn sealed(key_id: &str, byte: u8) -> Sealed {
    Sealed { key_id: key_id.to_owned(), bytes: vec![byte; 48] }
}

async fn put(database: &TestDatabase, tenant: u128, name: &str, sealed: &Sealed) {
    let mut connection = database.connect().await;
    secret::put(&mut connection, Uuid::from_u128(tenant), name, sealed).await.expect("it is set");
}

#[tokio::test]
async fn a_secret_is_set_replaced_and_deleted_for_its_tenant_alone() {
    let database = TestDatabase::create().await;
    let (store, one, two) = (database.store(), Uuid::from_u128(1), Uuid::from_u128(2));
    put(&database, 1, secret::API_KEY, &sealed("k", 1)).await;
    put(&database, 2, secret::API_KEY, &sealed("k", 2)).await;
    put(&database, 1, secret::API_KEY, &sealed("k", 3)).await;
    put(&database, 1, secret::PASSWORD, &sealed("k", 4)).await;
    assert_eq!(secret::get(&store, one, secret::API_KEY).await.unwrap(), Some(sealed("k", 3)));
    assert_eq!(secret::get(&store, one, secret::USERNAME).await.unwrap(), None);
    let names: Vec<String> = secret::list(&store, one).await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, [secret::API_KEY, secret::PASSWORD]);

    let mut connection = database.connect().await;
    assert!(secret::delete(&mut connection, one, secret::PASSWORD).await.unwrap());
    assert!(!secret::delete(&mut connection, one, secret::PASSWORD).await.unwrap());
    assert_eq!(secret::delete_all(&mut connection, one).await.unwrap(), 1);
    assert_eq!(secret::get(&store, two, secret::API_KEY).await.unwrap(), Some(sealed("k", 2)));
}

#[tokio::test]
async fn pages_end_and_hold_every_row_under_another_key_once() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for tenant in 0..5 {
        put(&database, tenant, secret::API_KEY, &sealed("old", 1)).await;
        put(&database, tenant, secret::PASSWORD, &sealed(if tenant == 3 { "new" } else { "older" }, 1)).await;
    }
    assert_eq!(
        secret::key_ids(&store).await.unwrap(),
        [("old".to_owned(), 5), ("older".to_owned(), 4), ("new".to_owned(), 1)]
    );
    let mut seen: Vec<Row> = Vec::new();
    loop {
        let after = seen.last().map(|row| (row.tenant, row.name.as_str()));
        let page = secret::page_under_other_keys(&store, "new", after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 9);
    assert!(seen.is_sorted_by_key(|row| (row.tenant, row.name.clone())));
    assert!(seen.iter().all(|row| row.sealed.key_id != "new"));
}

#[tokio::test]
async fn what_a_person_entered_meanwhile_is_not_overwritten() {
    let database = TestDatabase::create().await;
    let (store, tenant) = (database.store(), Uuid::from_u128(1));
    for name in [secret::API_KEY, secret::PASSWORD, secret::USERNAME] {
        put(&database, 1, name, &sealed("old", 1)).await;
    }
    let page = secret::page_under_other_keys(&store, "new", None, 10).await.unwrap();
    put(&database, 1, secret::API_KEY, &sealed("old", 9)).await;
    secret::delete(&mut database.connect().await, tenant, secret::USERNAME).await.unwrap();
    let resealed: Vec<(Row, Sealed)> = page.into_iter().map(|row| (row, sealed("new", 2))).collect();
    assert_eq!(secret::replace(&store, &resealed).await.unwrap(), 1);
    assert_eq!(secret::get(&store, tenant, secret::API_KEY).await.unwrap(), Some(sealed("old", 9)));
    assert_eq!(secret::get(&store, tenant, secret::PASSWORD).await.unwrap(), Some(sealed("new", 2)));
    assert_eq!(text(&database, "select count(*)::text from muster.secret").await, "2");
    assert_eq!(secret::replace(&store, &[]).await.unwrap(), 0);
}
