//! The gate on a clock that stands still.

use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn away() -> Error {
    Error::Server { endpoint: "/agents/", status: 502, after: None }
}

async fn enter(gate: &Gate) -> Result<Pass, Error> {
    gate.enter(Lane::Api, WAIT).await
}

async fn fail(gate: &Gate, times: u32) {
    for _ in 0..times {
        enter(gate).await.expect("the gate is open").settle(Some(&away()));
    }
}

#[tokio::test(start_paused = true)]
async fn two_enter_at_once_and_the_third_waits() {
    let gate = Gate::new();
    let first = enter(&gate).await.unwrap();
    let _second = enter(&gate).await.unwrap();
    assert_eq!(enter(&gate).await.map(drop), Err(Error::Busy));
    first.settle(None);
    enter(&gate).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_the_breaker_for_thirty_seconds() {
    let gate = Gate::new();
    fail(&gate, 4).await;
    // one success in between begins the count again
    enter(&gate).await.unwrap().settle(None);
    fail(&gate, 5).await;
    assert_eq!(enter(&gate).await.map(drop), Err(Error::BreakerOpen { after: OPEN_FOR }));
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(enter(&gate).await.map(drop), Err(Error::BreakerOpen { after: Duration::from_secs(1) }));
    tokio::time::advance(Duration::from_secs(1)).await;
    enter(&gate).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_request_probes_for_all() {
    let gate = Gate::new();
    fail(&gate, 5).await;
    tokio::time::advance(OPEN_FOR).await;
    let probe = enter(&gate).await.unwrap();
    assert_eq!(enter(&gate).await.map(drop), Err(Error::BreakerOpen { after: PROBE_WAIT }));
    // a probe that fails opens it again at once
    probe.settle(Some(&away()));
    assert_eq!(enter(&gate).await.map(drop), Err(Error::BreakerOpen { after: OPEN_FOR }));
    tokio::time::advance(OPEN_FOR).await;
    // a probe that is given up leaves room for the next
    drop(enter(&gate).await.unwrap());
    enter(&gate).await.unwrap().settle(None);
    let _both = (enter(&gate).await.unwrap(), enter(&gate).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_meet_the_breaker_too() {
    let gate = Gate::new();
    fail(&gate, 3).await;
    let (one, two) = (enter(&gate).await.unwrap(), enter(&gate).await.unwrap());
    let third = tokio::spawn({
        let gate = gate.clone();
        async move { enter(&gate).await.map(drop) }
    });
    tokio::task::yield_now().await;
    one.settle(Some(&away()));
    two.settle(Some(&away()));
    assert_eq!(third.await.unwrap(), Err(Error::BreakerOpen { after: OPEN_FOR }));
}

#[tokio::test(start_paused = true)]
async fn the_servers_wish_to_wait_is_kept() {
    let gate = Gate::new();
    let after = Some(Duration::from_secs(7));
    enter(&gate).await.unwrap().settle(Some(&Error::Throttled { after }));
    assert_eq!(enter(&gate).await.map(drop), Err(Error::BreakerOpen { after: Duration::from_secs(7) }));
    tokio::time::advance(Duration::from_secs(7)).await;
    // it is no failure: both places are open
    let _both = (enter(&gate).await.unwrap(), enter(&gate).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_login_keeps_logins_away_and_nothing_else() {
    let gate = Gate::new();
    let after = Some(Duration::from_secs(59));
    gate.enter(Lane::Login, WAIT).await.unwrap().settle(Some(&Error::Throttled { after }));
    assert_eq!(gate.enter(Lane::Login, WAIT).await.map(drop), Err(Error::Throttled { after }));
    enter(&gate).await.unwrap().settle(None);
    tokio::time::advance(Duration::from_secs(59)).await;
    gate.enter(Lane::Login, WAIT).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_failure() {
    let gate = Gate::new();
    for _ in 0..20 {
        enter(&gate).await.unwrap().settle(Some(&Error::Forbidden { endpoint: "/agents/" }));
    }
    enter(&gate).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gate_beside_shares_the_places_and_not_the_breaker() {
    let gate = Gate::new();
    let beside = gate.beside();
    gate.state().closed_until = Some(Instant::now() + OPEN_FOR);
    let one = beside.enter(Lane::Api, Duration::ZERO).await.expect("its own breaker is shut");
    let _two = beside.enter(Lane::Api, Duration::ZERO).await.expect("there are two places");
    gate.state().closed_until = None;
    assert!(matches!(gate.enter(Lane::Api, Duration::from_secs(1)).await, Err(Error::Busy)));
    drop(one);
    assert!(gate.enter(Lane::Api, Duration::from_secs(1)).await.is_ok());
}
