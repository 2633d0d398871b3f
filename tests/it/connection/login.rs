//! Logging in with user and password: by itself where it can, once for all, and never in a loop.

use connection::Error;
use fault::{Class, Classify};
use store::connection::DeviceSource;
use tests::simulator::{Fault, FaultKind, key, totp_code};
use uuid::Uuid;

use super::{Bench, Who, served, simulator};

const CHECK: &str = "/v2/checkcreds/";

/// Asks something that every session may.
async fn clients(open: &connection::Open) -> Result<usize, Error> {
    open.call(|client| async move { client.clients().await }).await.map(|clients| clients.len())
}

/// (4) of what the incumbent gets wrong: without a code.
#[tokio::test]
async fn a_session_that_ended_is_renewed_where_no_code_is_needed() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    let open = bench.open().await.unwrap();
    assert_eq!(clients(&open).await.unwrap(), 3);
    simulator.control().end_sessions();
    assert_eq!(clients(&open).await.unwrap(), 3);
    assert_eq!(clients(&open).await.unwrap(), 3);
    assert_eq!(served(&simulator, CHECK), 2, "one login at first, one after the end");
    // the next program finds the token
    assert_eq!(clients(&bench.open().await.unwrap()).await.unwrap(), 3);
    assert_eq!(served(&simulator, CHECK), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_programs_whose_session_ended_one_logs_in() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    let mut opened = Vec::new();
    for _ in 0..6 {
        opened.push(bench.open().await.unwrap());
    }
    assert_eq!(served(&simulator, CHECK), 1);
    simulator.control().end_sessions();
    let all: Vec<_> = opened.into_iter().map(|open| tokio::spawn(async move { clients(&open).await })).collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap(), 3);
    }
    assert_eq!(served(&simulator, CHECK), 2);
}

/// (4) of what the incumbent gets wrong: with a code.
#[tokio::test]
async fn where_a_code_is_needed_nobody_asks_the_server_until_a_person_gives_it() {
    let simulator = simulator().await;
    let control = simulator.control();
    let bench = Bench::connected(&simulator.base_url(), Who::user("totp")).await;
    assert_eq!(bench.word(Some(&totp_code(control.now()))).await, "ok");
    let open = bench.open().await.unwrap();
    assert_eq!(clients(&open).await.unwrap(), 3);
    control.end_sessions();
    let error = clients(&open).await.unwrap_err();
    assert!(matches!(error, Error::NeedsCode) && error.class() == Class::NeedsAttention, "{error}");
    let asked = control.served().len();
    for _ in 0..5 {
        assert!(matches!(bench.open().await, Err(Error::NeedsCode)));
    }
    assert_eq!(control.served().len(), asked, "not one request");
    assert_eq!(bench.word(Some(&totp_code(control.now()))).await, "ok");
    assert_eq!(clients(&bench.open().await.unwrap()).await.unwrap(), 3);
}

#[tokio::test]
async fn a_refused_password_is_tried_once_and_then_waits_for_another() {
    let simulator = simulator().await;
    let url = simulator.base_url();
    let bench = Bench::connected(&url, Who::User { name: "plain", password: "wrong" }).await;
    for _ in 0..5 {
        let error = bench.open().await.unwrap_err();
        assert!(matches!(error, Error::LoginRefused) && error.class() == Class::NeedsAttention, "{error}");
    }
    assert_eq!(served(&simulator, CHECK), 1);
    bench.save(&url, Who::user("plain"), DeviceSource::Classic).await;
    assert!(bench.open().await.is_ok());
}

#[tokio::test]
async fn the_servers_throttle_holds_back_every_program() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    let kind = FaultKind::TooManyRequests { retry_after_s: 59 };
    simulator.control().add_fault(Fault { path_prefix: CHECK.to_owned(), kind, requests: None });
    for _ in 0..3 {
        let error = bench.open().await.unwrap_err();
        let Class::Retryable { after: Some(after) } = error.class() else { panic!("{error:?}") };
        assert!((50..=59).contains(&after.as_secs()), "{after:?}");
    }
    assert_eq!(served(&simulator, CHECK), 1);
}

#[tokio::test]
async fn sessions_that_keep_ending_do_not_use_up_the_servers_logins() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    let open = bench.open().await.unwrap();
    let mut held_back = 0;
    for _ in 0..12 {
        simulator.control().end_sessions();
        match clients(&open).await {
            Ok(_) => {}
            Err(Error::LoginLater { after }) => held_back += usize::from(after.as_secs() > 60),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((served(&simulator, CHECK), held_back), (3, 10));
    // a person's wish is another matter
    assert_eq!(bench.word(None).await, "ok");
    assert_eq!(clients(&open).await.unwrap(), 3, "the person's session is everybody's");
}

#[tokio::test]
async fn a_refused_key_is_not_a_reason_to_log_in() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::EXPIRED)).await;
    let error = clients(&bench.open().await.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Tactical(_)) && error.class() == Class::NeedsAttention, "{error}");
    assert_eq!(served(&simulator, "/v2/"), 0);
}

#[tokio::test]
async fn what_is_not_connected_is_not_opened() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    let connections = bench.connections();
    let stranger = connections.open(Uuid::new_v4(), bench.integration_id).await;
    assert!(matches!(stranger, Err(Error::NoSuchConnection { .. })));
    let other = connections.open(bench.tenant, Uuid::new_v4()).await;
    assert!(matches!(other, Err(Error::NoSuchConnection { .. })));
    store::tenant::set_suspended(&bench.store(), bench.tenant, true, "a test").await.unwrap();
    assert!(matches!(bench.open().await, Err(Error::Suspended)));
    assert!(matches!(connections.test(bench.tenant, None, "a test").await, Err(Error::Suspended)));
    store::tenant::set_suspended(&bench.store(), bench.tenant, false, "a test").await.unwrap();
    let entry = bench.entry("integration.disconnect");
    store::connection::disconnect(&bench.store(), bench.tenant, &entry).await.unwrap();
    assert!(matches!(bench.open().await, Err(Error::Inactive)));
    assert!(simulator.control().served().is_empty(), "nothing was asked");
}
