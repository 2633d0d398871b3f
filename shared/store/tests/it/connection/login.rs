//! One login at a time, within what the server allows.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_want_to_log_in_one_may() {
    let database = TestDatabase::create().await;
    let (_, id) = knox(&database).await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move { claim(&store, id, LoginBy::Program).await })
        })
        .collect();
    let mut may = 0;
    for one in all {
        match within(one).await.unwrap() {
            Login::Granted(_) => may += 1,
            Login::Busy { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(may, 1);
}

#[tokio::test]
async fn who_comes_after_a_login_takes_its_token_and_pays_nothing() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let paid = async || text(&database, "select login_paid_until::text from muster.connection").await;
    let first = granted(claim(&store, id, LoginBy::Program).await);
    let once = paid().await;
    assert!(connection::finish_login(&store, &first, &LoginEnd::Token(sealed(4))).await.unwrap());
    for _ in 0..10 {
        assert_eq!(claim(&store, id, LoginBy::Program).await, Login::Done(sealed(4)));
    }
    assert_eq!(paid().await, once);
    let person = granted(claim(&store, id, LoginBy::Person).await);
    assert!(connection::finish_login(&store, &person, &LoginEnd::Token(sealed(3))).await.unwrap());
    granted(claim(&store, id, LoginBy::Program).await);
    assert_ne!(paid().await, once, "the stored token is the dead one");
}

#[tokio::test]
async fn a_wanted_code_and_a_refused_password_wait_for_a_person() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    for (end, answer) in [(LoginEnd::CodeWanted, Login::CodeWanted), (LoginEnd::Refused, Login::Refused)] {
        let first = granted(claim(&store, id, LoginBy::Program).await);
        assert!(connection::finish_login(&store, &first, &end).await.unwrap());
        assert!(!connection::finish_login(&store, &first, &end).await.unwrap(), "it has ended");
        assert_eq!(claim(&store, id, LoginBy::Program).await, answer);
        let person = granted(claim(&store, id, LoginBy::Person).await);
        assert!(connection::finish_login(&store, &person, &LoginEnd::Other).await.unwrap());
        assert_eq!(claim(&store, id, LoginBy::Program).await, answer, "the person's try told nothing");
        let person = granted(claim(&store, id, LoginBy::Person).await);
        assert!(connection::finish_login(&store, &person, &LoginEnd::Token(sealed(3))).await.unwrap());
        let found = find(&store).await;
        assert_eq!((found.code_wanted_at, found.login_refused_at), (None, None));
    }
    let first = granted(claim(&store, id, LoginBy::Program).await);
    assert!(connection::finish_login(&store, &first, &LoginEnd::Refused).await.unwrap());
    saved(&store, &save(URL, AuthMode::Knox, vec![(secret::PASSWORD, Some(sealed(6)))])).await;
    let found = find(&store).await;
    assert_eq!(found.login_refused_at, None, "another password may be right");
}

#[tokio::test]
async fn the_servers_throttle_is_remembered_and_never_shortened_or_endless() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let wait = async |after_s: u64| {
        let claim = granted(claim(&store, id, LoginBy::Person).await);
        let end = LoginEnd::Throttled(Duration::from_secs(after_s));
        assert!(connection::finish_login(&store, &claim, &end).await.unwrap());
    };
    wait(59).await;
    let Login::NotBefore { after, .. } = claim(&database.second_store(), id, LoginBy::Person).await else {
        panic!("every program knows it")
    };
    assert!((50..=59).contains(&after.as_secs()), "{after:?}");
    execute(&database, "update muster.connection set login_not_before = null").await;
    wait(u64::MAX).await;
    let Login::NotBefore { after, .. } = claim(&store, id, LoginBy::Program).await else { panic!("it is throttled") };
    assert!(after <= Duration::from_secs(86_400), "{after:?}");
}
