//! Two and three gateways tick at once.

use store::run::Kind;
use store::tenant::{self, NewConnection};
use uuid::Uuid;

use super::{ended, number, runs, settle, taken, ticking};

/// Tenants beside the fleet's own.
const TENANTS: u128 = 40;
const ROUNDS: i64 = 3;

#[tokio::test]
async fn two_gateways_start_each_slot_once() {
    start_each_slot_once(2).await;
}

#[tokio::test]
async fn three_gateways_start_each_slot_once() {
    start_each_slot_once(3).await;
}

async fn start_each_slot_once(gateways: usize) {
    let mut fleet = ticking().await;
    for _ in 1..gateways {
        fleet.add_gateway(&[]).await;
    }
    for n in 1..=TENANTS {
        let new = NewConnection {
            tenant: Uuid::from_u128(n),
            client_name: "A client".to_owned(),
            instance_url: Some("https://api.example.com".to_owned()),
            digest: None,
            grace: std::time::Duration::ZERO,
        };
        tenant::connect(&fleet.store(), &new, "a test").await.expect("the database takes a tenant");
    }
    settle(&fleet).await;
    let all = i64::try_from(TENANTS).expect("it fits") + 1;
    let mut sql = fleet.database().connect().await;
    for round in 1..=ROUNDS {
        fleet.database().execute("update muster.schedule set next_due_at = clock_timestamp()").await;
        taken(&fleet).await;
        for kind in Kind::ALL {
            assert_eq!(runs(&fleet, *kind).await, round * all, "{kind:?} in round {round}");
        }
        // due again while its run is open: none is added
        fleet.database().execute("update muster.schedule set next_due_at = clock_timestamp()").await;
        taken(&fleet).await;
        assert_eq!(runs(&fleet, Kind::Alerts).await, round * all);
        let open = number(&mut sql, "select count(*) from muster.run where state = 'queued'").await;
        assert_eq!(open, 4 * all);
        ended(&fleet).await;
    }
}
