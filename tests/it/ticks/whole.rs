//! From the slot to the row: what is due is read by itself.

use store::run::{Kind, RunFilter, State};
use store::{organization, run};
use tests::simulator::{SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};

use super::due;

#[tokio::test]
async fn what_is_due_is_read_without_anybody_asking() {
    let quiet = SimulatorConfig { agents: 20, clients: 3, speed: 0.0, ..SimulatorConfig::default() };
    let fleet = Fleet::builder().ticks().sync_workers(1).simulator(quiet).start().await;
    fleet.connect_tactical(key::SYNC).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    due(&fleet, Kind::Clients).await;
    let clients = RunFilter { kind: Some(Kind::Clients), ..RunFilter::default() };
    let run = until(DEADLINE * 3, async || {
        let runs = run::page(&store, tenant, &clients, 1).await.expect("the database answers");
        runs.into_iter().find(|run| run.state.is_ended()).ok_or("no run has ended")
    })
    .await;
    assert_eq!((run.state, run.error.as_deref(), run.requested_by.as_str()), (State::Completed, None, "schedule"));
    let mappings = organization::list(&store, tenant).await.expect("the database answers");
    assert_eq!(mappings.len(), 3);
    let metrics = reqwest::get(format!("{}/metrics", fleet.gateway_url())).await.expect("it answers");
    let metrics = metrics.text().await.expect("a text");
    assert!(metrics.contains(r#"muster_ticks_total{kind="clients",outcome="started"}"#), "{metrics}");
    assert!(metrics.contains(r#"muster_tick_lateness_seconds_count{kind="clients"}"#), "{metrics}");
    fleet.until_idle().await;
}
