//! Clients and devices, synced by real programs from a simulated Tactical whose control handle knows what is true.

mod another;
mod beta;
mod first;
mod missing;
mod mistakes;
mod parts;
mod racing;
mod refresh;
mod server;
mod statements;
mod vault_key;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use store::run::{Kind, PartView, RunView, State};
use store::view::{self, Asset, AssetDetail, AssetFilter};
use tests::Fleet;
use tests::simulator::{AgentTruth, Fault, FaultKind, SimulatorConfig, key};

/// A server on which nothing happens by itself, and whose clock stands still.
fn still(agents: u32) -> SimulatorConfig {
    SimulatorConfig {
        agents,
        clients: 4,
        sites_per_client: 2,
        online_percent: 100,
        speed: 0.0,
        ..SimulatorConfig::default()
    }
}

/// A fleet of one sync worker that is connected to such a server, with every client mapped and nothing synced yet.
async fn mapped(agents: u32) -> Fleet {
    let fleet = Fleet::builder().without_gateway().sync_workers(1).simulator(still(agents)).start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    fleet
}

/// The same, synced once.
async fn synced(agents: u32) -> Fleet {
    let fleet = mapped(agents).await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    fleet
}

/// What a reader sees, by agent.
async fn assets(fleet: &Fleet) -> BTreeMap<String, Asset> {
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let (mut found, mut after) = (BTreeMap::new(), None);
    loop {
        let page =
            view::assets(&store, tenant, &AssetFilter::default(), after, 500).await.expect("the database answers");
        let Some(last) = page.last() else { return found };
        after = Some(last.asset_id);
        for asset in page {
            let agent_id = asset.agent_id.clone().expect("an asset of Tactical names its agent");
            assert!(found.insert(agent_id, asset).is_none(), "two assets of one agent");
        }
    }
}

/// One device wholly.
async fn detail(fleet: &Fleet, agent_id: &str) -> AssetDetail {
    let asset_id = assets(fleet).await.remove(agent_id).expect("the agent has an asset").asset_id;
    let found = view::asset(&fleet.store(), fleet.connection().tenant, asset_id).await.expect("the database answers");
    found.expect("the asset exists")
}

/// Every agent of the simulator as it truly is.
fn truths(fleet: &Fleet) -> BTreeMap<String, AgentTruth> {
    fleet.simulator().control().agents().into_iter().map(|truth| (truth.agent_id.clone(), truth)).collect()
}

/// Fails unless Postgres shows exactly these agents as they truly are, each with its one asset, mapping and identity.
async fn assert_true(fleet: &Fleet, truths: &BTreeMap<String, AgentTruth>) {
    let assets = assets(fleet).await;
    let known: BTreeSet<&String> = assets.keys().collect();
    assert_eq!(known, truths.keys().collect(), "these agents have assets");
    for (agent_id, truth) in truths {
        let asset = &assets[agent_id];
        let shown =
            (asset.name.as_str(), asset.asset_type.as_deref(), asset.agent_status.as_deref(), asset.last_seen_at);
        let expected = (
            truth.hostname.as_str(),
            Some(truth.monitoring_type.as_str()),
            Some(truth.status.as_str()),
            truth.last_seen,
        );
        assert_eq!(shown, expected, "{agent_id}");
        let place = (asset.organization_id.clone(), asset.client_name.as_deref(), asset.location.as_deref());
        assert_eq!(place.0, Some(truth.client.0.to_string()), "{agent_id}");
        assert_eq!((place.1, place.2), (Some(truth.client.1.as_str()), Some(truth.site.1.as_str())), "{agent_id}");
        let serial = (!truth.serial_number.is_empty()).then_some(truth.serial_number.as_str());
        assert_eq!(asset.serial_number.as_deref(), serial, "{agent_id}");
        assert_eq!(asset.missing_since, None, "{agent_id}");
    }
    assert_whole(fleet).await;
}

/// Fails where an asset is without its mapping, its identity or its one row of details.
async fn assert_whole(fleet: &Fleet) {
    let sql = "select (select count(*) from assets) as assets,
                      (select count(*) from tenant_external_entity_mappings) as mappings,
                      (select count(*) from muster.agent where asset_id is not null) as agents,
                      (select count(*) from workstation_assets) + (select count(*) from server_assets) as details,
                      (select count(*) from assets a
                       join tenant_external_entity_mappings m on m.alga_entity_id = a.asset_id::text
                            and m.external_entity_id = a.rmm_device_id
                       join muster.agent g on g.asset_id = a.asset_id and g.agent_id = a.rmm_device_id) as whole";
    let mut connection = fleet.database().connect().await;
    let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("the database answers");
    let counts: Vec<i64> = (0..5).map(|place| row.get(place)).collect();
    assert!(
        counts.iter().all(|count| *count == counts[0]),
        "assets, mappings, agents, details, whole ones: {counts:?}"
    );
}

/// The versions of every row that a sync could rewrite: any update makes another one.
async fn versions(fleet: &Fleet) -> BTreeMap<String, String> {
    let mut connection = fleet.database().connect().await;
    let mut versions = BTreeMap::new();
    for (table, id) in [
        ("assets", "asset_id"),
        ("workstation_assets", "asset_id"),
        ("server_assets", "asset_id"),
        ("tenant_external_entity_mappings", "id"),
        ("muster.agent", "agent_id"),
    ] {
        let sql = format!("select {id}::text, xmin::text || ' ' || ctid::text from {table}");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the database answers");
        versions.extend(rows.iter().map(|row| (format!("{table} {}", row.get::<String, _>(0)), row.get(1))));
    }
    versions
}

/// The part that reads a client.
fn part<'a>(parts: &'a [PartView], name: &str) -> &'a PartView {
    parts.iter().find(|part| part.name == name).unwrap_or_else(|| panic!("no part {name} in {parts:#?}"))
}

/// How many devices a run made, changed and left.
fn counts(run: &RunView) -> (i64, i64, i64) {
    (run.counts.created, run.counts.updated, run.counts.unchanged)
}

/// From now on the requests of that path and query end so.
fn fault(fleet: &Fleet, path_prefix: &str, kind: FaultKind) {
    fleet.simulator().control().add_fault(Fault { path_prefix: path_prefix.to_owned(), kind, requests: None });
}

/// A JSON answer instead of the true one.
fn answer(body: &str) -> FaultKind {
    FaultKind::Json { body: body.to_owned() }
}
