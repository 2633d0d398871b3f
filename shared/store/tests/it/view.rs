//! What the operators' API shows: whose status is how old, which filter lets what through, and that pages lose nothing.

use chrono::{DateTime, Utc};
use store::Store;
use store::testing::TestDatabase;
use store::view::{self, AlertFilter, AlertKey, Asset, AssetFilter};
use uuid::Uuid;

use crate::{connected, execute};

/// Two clients of Tactical, five devices: PC-1 unchanged since an old write but seen by the list, PC-2 written last, SRV-3
/// overdue, PC-4 missing, PC-5 of another provider.
const FLEET: &str = r#"
insert into rmm_organization_mappings (tenant, integration_id, external_organization_id, external_organization_name,
    client_id, last_synced_at)
select i.tenant, i.integration_id, '1', 'Acme', c.client_id, '2026-01-02 00:00:00Z'
from rmm_integrations i join clients c using (tenant);
insert into assets (tenant, asset_id, client_id, asset_tag, name, status, asset_type, serial_number, rmm_provider,
    rmm_device_id, rmm_organization_id, agent_status, last_rmm_sync_at, updated_at)
select c.tenant, ('00000000-0000-0000-0000-00000000000' || n)::uuid, c.client_id, 'tactical:agent' || n, name, 'active', type,
    'SN-' || n, provider, 'agent' || n, '1', agent_status, at::timestamptz, at::timestamptz
from clients c, (values
    (1, 'PC-1', 'workstation', 'tacticalrmm', 'online', '2026-01-01 00:00:00Z'),
    (2, 'PC-2 100%', 'workstation', 'tacticalrmm', 'offline', '2026-01-03 00:00:00Z'),
    (3, 'SRV-3', 'server', 'tacticalrmm', 'overdue', '2026-01-01 00:00:00Z'),
    (4, 'PC-4', 'workstation', 'tacticalrmm', 'online', '2026-01-01 00:00:00Z'),
    (5, 'PC-5', 'workstation', 'ninjaone', 'online', '2026-01-01 00:00:00Z')
) as device (n, name, type, provider, agent_status, at);
insert into workstation_assets (tenant, asset_id, "current_user", os_version)
select tenant, asset_id, 'Zoë', 'Windows 11' from assets where rmm_device_id = 'agent1';
insert into server_assets (tenant, asset_id, os_version, ram_gb)
select tenant, asset_id, 'Debian 12', 64 from assets where rmm_device_id = 'agent3';
insert into muster.agent (tenant, integration_id, agent_id, asset_id, external_client_id, missing_since)
select a.tenant, i.integration_id, a.rmm_device_id, a.asset_id, '1',
    case when a.rmm_device_id = 'agent4' then '2026-01-02 00:00:00Z'::timestamptz end
from assets a join rmm_integrations i using (tenant) where a.rmm_provider = 'tacticalrmm';
"#;

struct World {
    database: TestDatabase,
    store: Store,
    tenant: Uuid,
}

async fn world(more: &'static str) -> World {
    let database = TestDatabase::create().await;
    let store = database.store();
    let tenant = connected(&store, 1).await.tenant;
    execute(&database, FLEET).await;
    execute(&database, more).await;
    World { database, store, tenant }
}

impl World {
    async fn names(&self, filter: AssetFilter) -> Vec<String> {
        let found = view::assets(&self.store, self.tenant, &filter, None, 500).await.expect("it reads");
        found.into_iter().map(|asset| asset.name).collect()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[tokio::test]
async fn the_counts_leave_out_what_is_missing_and_what_another_provider_has() {
    let world = world("").await;
    let fleet = view::fleet(&world.store, world.tenant).await.unwrap();
    assert_eq!((fleet.online, fleet.offline, fleet.overdue, fleet.unknown, fleet.missing), (1, 1, 1, 0, 1));
    assert_eq!(fleet.oldest_status_at, Some(at("2026-01-02T00:00:00Z")));
    assert_eq!(fleet.newest_status_at, Some(at("2026-01-03T00:00:00Z")));
    assert_eq!(view::fleet(&world.store, Uuid::from_u128(9)).await.unwrap(), view::Fleet::default());
}

#[tokio::test]
async fn a_list_that_changed_nothing_still_tells_the_status() {
    let world = world("").await;
    let all = view::assets(&world.store, world.tenant, &AssetFilter::default(), None, 500).await.unwrap();
    let observed: Vec<_> = all.iter().map(|asset| (asset.name.as_str(), asset.status_observed_at.unwrap())).collect();
    let expected = [
        ("PC-1", at("2026-01-02T00:00:00Z")),
        ("PC-2 100%", at("2026-01-03T00:00:00Z")),
        ("SRV-3", at("2026-01-02T00:00:00Z")),
        // not in that list
        ("PC-4", at("2026-01-01T00:00:00Z")),
    ];
    assert_eq!(observed, expected);
    assert_eq!(all[0].organization_name.as_deref(), Some("Acme"));
}

#[tokio::test]
async fn a_list_that_did_not_show_a_device_says_nothing_about_its_status() {
    // PC-1 has left its client (or is hidden), SRV-3 is AlgaPSA's and no agent's yet, and PC-2 has a second asset
    let world = world(
        "update muster.agent set external_client_id = null where agent_id = 'agent1';
         delete from muster.agent where agent_id = 'agent3';
         insert into assets (tenant, asset_id, client_id, asset_tag, name, status, asset_type, rmm_provider, rmm_device_id,
             rmm_organization_id, agent_status, last_rmm_sync_at)
         select tenant, '00000000-0000-0000-0000-000000000006', client_id, 'second', 'second', 'active', asset_type,
             rmm_provider, rmm_device_id, '1', 'online', '2025-12-01 00:00:00Z' from assets where rmm_device_id = 'agent2'",
    )
    .await;
    let all = view::assets(&world.store, world.tenant, &AssetFilter::default(), None, 500).await.unwrap();
    for (name, observed) in [
        ("PC-1", "2026-01-01T00:00:00Z"),
        ("PC-2 100%", "2026-01-03T00:00:00Z"),
        ("SRV-3", "2026-01-01T00:00:00Z"),
        ("second", "2025-12-01T00:00:00Z"),
    ] {
        let asset = all.iter().find(|asset| asset.name == name).expect("it is listed");
        assert_eq!(asset.status_observed_at, Some(at(observed)), "{name}");
        let one = view::asset(&world.store, world.tenant, asset.asset_id).await.unwrap().expect("it is there");
        assert_eq!(&one.asset.status_observed_at, &asset.status_observed_at, "{name}");
        assert_eq!(asset.organization_name.as_deref(), Some("Acme"), "{name}");
    }
    let fleet = view::fleet(&world.store, world.tenant).await.unwrap();
    assert_eq!(
        (fleet.online, fleet.offline, fleet.overdue, fleet.missing),
        (1, 1, 1, 1),
        "the second asset is no device"
    );
    assert_eq!(fleet.oldest_status_at, Some(at("2026-01-01T00:00:00Z")));
}

#[tokio::test]
async fn every_filter_lets_through_what_it_says() {
    let world = world("").await;
    let all = AssetFilter::default;
    let q = |text: &str| AssetFilter { q: Some(text.to_owned()), ..all() };
    let status = |word: &str| AssetFilter { status: Some(word.to_owned()), ..all() };
    for (filter, names) in [
        (status("online"), &["PC-1"][..]),
        (status("overdue"), &["SRV-3"]),
        (AssetFilter { asset_type: Some("server".to_owned()), ..all() }, &["SRV-3"]),
        (AssetFilter { missing: Some(true), ..all() }, &["PC-4"]),
        (AssetFilter { missing: Some(false), ..all() }, &["PC-1", "PC-2 100%", "SRV-3"]),
        (AssetFilter { client_id: Some(Uuid::nil()), ..all() }, &[]),
        (AssetFilter { updated_since: Some(at("2026-01-02T12:00:00Z")), ..all() }, &["PC-2 100%"]),
        (q("srv"), &["SRV-3"]),
        (q("sn-2"), &["PC-2 100%"]),
        (q("zoë"), &["PC-1"]),
        (q("100%"), &["PC-2 100%"]),
        (q("%"), &["PC-2 100%"]),
        (q("_"), &[]),
    ] {
        assert_eq!(world.names(filter.clone()).await, names, "{filter:?}");
    }
}

#[tokio::test]
async fn pages_show_every_asset_once() {
    let world = world("").await;
    let mut seen: Vec<Asset> = Vec::new();
    loop {
        let after = seen.last().map(|asset| asset.asset_id);
        let page = view::assets(&world.store, world.tenant, &AssetFilter::default(), after, 3).await.unwrap();
        let is_last = page.len() < 3;
        seen.extend(page);
        if is_last {
            break;
        }
    }
    let whole = view::assets(&world.store, world.tenant, &AssetFilter::default(), None, 500).await.unwrap();
    assert_eq!(
        seen.iter().map(|asset| asset.asset_id).collect::<Vec<_>>(),
        whole.iter().map(|asset| asset.asset_id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn one_asset_shows_its_vitals_and_only_to_its_tenant() {
    let world = world("").await;
    let id = |n: u128| Uuid::from_u128(n);
    let server = view::asset(&world.store, world.tenant, id(3)).await.unwrap().expect("it is there");
    assert_eq!(server.asset.os_version.as_deref(), Some("Debian 12"));
    assert_eq!(server.vitals.ram_gb, Some(64));
    assert_eq!(view::asset(&world.store, Uuid::from_u128(9), id(3)).await.unwrap(), None);
    assert_eq!(view::asset(&world.store, world.tenant, id(5)).await.unwrap(), None, "another provider's");
}

#[tokio::test]
async fn pages_of_alerts_show_each_once_the_newest_first_also_where_times_are_equal() {
    let world = world(
        "insert into rmm_alerts (tenant, integration_id, external_alert_id, external_device_id, severity, status,
             triggered_at, asset_id)
         select i.tenant, i.integration_id, n::text, 'agent1', case when n % 2 = 0 then 'critical' else 'minor' end,
             case when n = 7 then 'resolved' else 'active' end,
             '2026-01-01 00:00:00Z'::timestamptz + (n / 4) * interval '1 hour', '00000000-0000-0000-0000-000000000001'
         from rmm_integrations i, generate_series(1, 11) n",
    )
    .await;
    let filter = AlertFilter::default();
    let mut seen = Vec::new();
    let mut after: Option<AlertKey> = None;
    loop {
        let page = view::alerts(&world.store, world.tenant, &filter, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(AlertKey { triggered_at: last.triggered_at, alert_id: last.alert_id });
        seen.extend(page);
    }
    assert_eq!(seen.len(), 11);
    assert!(seen.windows(2).all(|pair| pair[0].triggered_at >= pair[1].triggered_at));
    assert_eq!(seen[0].asset_name.as_deref(), Some("PC-1"));
    let count =
        async |filter: AlertFilter| view::alerts(&world.store, world.tenant, &filter, None, 500).await.unwrap().len();
    assert_eq!(count(AlertFilter { status: Some("resolved".to_owned()), ..filter.clone() }).await, 1);
    assert_eq!(count(AlertFilter { severity: Some("critical".to_owned()), ..filter.clone() }).await, 5);
    assert_eq!(count(AlertFilter { asset_id: Some(Uuid::nil()), ..filter.clone() }).await, 0);
    assert_eq!(count(AlertFilter { agent_id: Some("agent1".to_owned()), ..filter }).await, 11);
}

#[tokio::test]
async fn an_alert_says_what_a_person_did_to_it_in_tactical() {
    let world = world(
        "insert into rmm_alerts (tenant, integration_id, external_alert_id, severity, status, triggered_at)
         select tenant, integration_id, '1', 'none', 'active', now() from rmm_integrations",
    )
    .await;
    let shown = async |metadata: &str| {
        world.database.execute(&format!("update rmm_alerts set metadata = {metadata}")).await;
        let mut alerts = view::alerts(&world.store, world.tenant, &AlertFilter::default(), None, 1).await.unwrap();
        let alert = alerts.swap_remove(0);
        (alert.is_snoozed, alert.snoozed_until.map(|until| until.to_rfc3339()), alert.is_hidden)
    };
    assert_eq!(shown("null").await, (false, None, false));
    assert_eq!(shown("'{\"snoozed\": true, \"snoozed_until\": null, \"hidden\": true}'").await, (true, None, true));
    let until = "'{\"snoozed\": true, \"snoozed_until\": \"2026-12-01T00:00:00.000000Z\"}'";
    assert_eq!(shown(until).await, (true, Some("2026-12-01T00:00:00+00:00".to_owned()), false));
    // somebody else's words
    for odd in ["\"soon\"", "\"2026-02-30T00:00:00.000000Z\"", "7", "[\"2026-12-01T00:00:00.000000Z\"]"] {
        let odd = format!("'{{\"snoozed\": \"yes\", \"snoozed_until\": {odd}, \"hidden\": 1}}'");
        assert_eq!(shown(&odd).await, (false, None, false), "{odd}");
    }
}

#[tokio::test]
async fn a_webhook_shows_its_stamps_and_what_its_calls_told() {
    let world = world(
        "insert into muster.webhook_finding select tenant, integration_id, 'verbatim_event', now(), now(), 3 from rmm_integrations",
    )
    .await;
    let webhook = view::webhook(&world.store, world.tenant).await.unwrap().expect("it is connected");
    assert!(webhook.rotated_at.is_some() && webhook.previous_valid_until.is_none());
    assert_eq!((webhook.findings[0].finding.as_str(), webhook.findings[0].seen_count), ("verbatim_event", 3));
    assert_eq!(view::webhook(&world.store, Uuid::from_u128(9)).await.unwrap(), None);
    assert!(view::tenant_exists(&world.store, world.tenant).await.unwrap());
    assert!(!view::tenant_exists(&world.store, Uuid::from_u128(9)).await.unwrap());
}
