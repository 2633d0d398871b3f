//! Postgres is away from a gateway that ticks.

use store::run::Kind;
use tests::proxy::Fault;
use tests::{DEADLINE, Fleet};

use super::{due, runs, settle, taken};

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_the_gateway_stays_ready_and_afterwards_the_slot_comes() {
    let mut fleet = Fleet::builder().ticks().proxies().start().await;
    settle(&fleet).await;
    fleet.database_proxy().set(Fault { refuse: true, ..Fault::NONE });
    fleet.database_proxy().cut();
    fleet.gateway().until_log(DEADLINE, "what is due could not be taken").await;
    due(&fleet, Kind::Alerts).await;
    let ready = reqwest::get(format!("{}/readyz", fleet.gateway_url())).await.expect("it answers");
    assert!(ready.status().is_success(), "{ready:?}");
    assert_eq!(runs(&fleet, Kind::Alerts).await, 0);
    fleet.database_proxy().set(Fault::NONE);
    taken(&fleet).await;
    assert_eq!(runs(&fleet, Kind::Alerts).await, 1);
}
