//! Bearer tokens: what is stored of one, when it is good, and that its use is noted once a minute.

use std::str::FromStr as _;

use chrono::{TimeDelta, Utc};
use secrecy::ExposeSecret as _;
use store::Store;
use store::audit::Entry;
use store::testing::TestDatabase;
use store::token::{self, Judged, NewToken, Permission, Token};
use uuid::Uuid;

use crate::{execute, text};

fn entry(action: &'static str) -> Entry {
    Entry { tenant: None, actor: "a test".to_owned(), action, subject: None, detail: serde_json::json!({}) }
}

async fn add(store: &Store, expires_in: Option<TimeDelta>) -> (Token, String) {
    let new = NewToken {
        tenant: Some(Uuid::from_u128(7)),
        name: " Ada ".to_owned(),
        permissions: vec![Permission::AssetRead, Permission::SettingsUpdate],
        expires_at: expires_in.map(|delta| Utc::now() + delta),
    };
    let (token, text) = token::add(store, &new, &entry("token.add")).await.expect("it is made");
    (token, text.expose_secret().to_owned())
}

#[tokio::test]
async fn a_token_is_good_for_what_it_was_made_for_and_stands_nowhere_in_clear() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (token, secret) = add(&store, None).await;
    assert_eq!((token.name.as_str(), token.tenant), ("Ada", Some(Uuid::from_u128(7))));
    assert!(secret.starts_with("muster_") && secret.len() == 7 + 64, "{secret}");
    let Judged::Good(found) = token::judge(&store, &secret).await.unwrap() else { panic!("it is good") };
    assert_eq!(found, token);
    assert_eq!(found.permissions, [Permission::AssetRead, Permission::SettingsUpdate]);
    let stored = text(&database, "select row_to_json(t)::text from muster.token t").await;
    assert!(!stored.contains(&secret[7..]), "{stored}");
    assert_eq!(text(&database, "select action from muster.audit").await, "token.add");
}

#[tokio::test]
async fn what_was_never_made_is_unknown() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (_, secret) = add(&store, None).await;
    let turned = secret.to_uppercase();
    for text in ["", "muster_", "Bearer", &secret[1..], &secret[..secret.len() - 1], &format!("{secret} "), &turned] {
        assert_eq!(token::judge(&store, text).await.unwrap(), Judged::Unknown, "{text}");
    }
}

#[tokio::test]
async fn an_expired_and_a_revoked_token_are_no_good() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (_, expired) = add(&store, Some(TimeDelta::seconds(-1))).await;
    assert!(matches!(token::judge(&store, &expired).await.unwrap(), Judged::Expired(_)));
    let (token, secret) = add(&store, Some(TimeDelta::hours(1))).await;
    assert!(matches!(token::judge(&store, &secret).await.unwrap(), Judged::Good(_)));
    for _ in 0..2 {
        assert!(token::revoke(&store, token.token_id, &entry("token.revoke")).await.unwrap());
        assert_eq!(token::judge(&store, &secret).await.unwrap(), Judged::Revoked);
    }
    assert!(!token::revoke(&store, Uuid::from_u128(1), &entry("token.revoke")).await.unwrap());
    let revocations = text(&database, "select count(*)::text from muster.audit where action = 'token.revoke'").await;
    assert_eq!(revocations, "1", "what changes nothing is not in the audit");
}

#[tokio::test]
async fn the_last_use_is_moved_at_most_once_a_minute() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (_, secret) = add(&store, None).await;
    let stamp = "select last_used_at::text from muster.token";
    assert_eq!(text(&database, stamp).await, "");
    token::judge(&store, &secret).await.unwrap();
    let first = text(&database, stamp).await;
    assert_ne!(first, "");
    token::judge(&store, &secret).await.unwrap();
    assert_eq!(text(&database, stamp).await, first);
    execute(&database, "update muster.token set last_used_at = last_used_at - interval '61 seconds'").await;
    token::judge(&store, &secret).await.unwrap();
    assert!(text(&database, stamp).await > first);
}

#[tokio::test]
async fn a_permission_of_a_later_version_allows_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (_, secret) = add(&store, None).await;
    execute(&database, "update muster.token set permissions = '{asset:delete,asset:read}'").await;
    let Judged::Good(found) = token::judge(&store, &secret).await.unwrap() else { panic!("it is good") };
    assert_eq!(found.permissions, [Permission::from_str("asset:read").unwrap()]);
    assert_eq!(token::list(&store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_has_a_name_of_bounded_length() {
    let database = TestDatabase::create().await;
    for name in [String::new(), "  ".to_owned(), "x".repeat(101)] {
        let new = NewToken { tenant: None, name, permissions: Vec::new(), expires_at: None };
        let error = token::add(&database.store(), &new, &entry("token.add")).await.unwrap_err();
        assert!(matches!(error, store::Error::Refused { .. }), "{error:?}");
    }
    assert_eq!(text(&database, "select count(*)::text from muster.audit").await, "0");
}
