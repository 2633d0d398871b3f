//! `/clients/` and `/clients/sites/`: lists with counts, single objects without them.

use std::collections::HashMap;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::alert::Severity;
use super::reply::{forbidden, no_such, ok};
use super::server::Call;
use super::world::World;

/// What is counted per site: agents, whether one is in maintenance, failing checks by severity.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SiteCount {
    agents: i64,
    maintenance: bool,
    error: bool,
    warning: bool,
}

impl SiteCount {
    fn add(&mut self, other: Self) {
        self.agents += other.agents;
        self.maintenance |= other.maintenance;
        self.error |= other.error;
        self.warning |= other.warning;
    }

    /// Tactical's `failing_checks`.
    pub(super) fn failing_checks(self) -> Value {
        json!({"error": self.error, "warning": self.warning})
    }
}

impl World {
    /// Counts every site's agents and failing checks.
    pub(super) fn count_sites(&self) -> HashMap<i64, SiteCount> {
        let mut counts: HashMap<i64, SiteCount> = HashMap::new();
        for pk in self.pks_after(0) {
            let Some(site) = self.site_of_pk(pk) else { continue };
            let count = counts.entry(site).or_default();
            count.agents += 1;
            count.maintenance |= self.changes.get(&pk).is_some_and(|change| change.maintenance);
            for (_, severity) in self.failing_checks(pk) {
                count.error |= severity == Severity::Error;
                count.warning |= severity == Severity::Warning;
            }
        }
        counts
    }

    /// The counts of a client: the sum of its sites.
    pub(super) fn count_client(&self, client: i64, counts: &HashMap<i64, SiteCount>) -> SiteCount {
        let mut sum = SiteCount::default();
        for site in self.sites().filter(|site| self.client_of(*site) == client) {
            sum.add(counts.get(&site).copied().unwrap_or_default());
        }
        sum
    }

    fn site_object(&self, site: i64, count: SiteCount, counted: bool) -> Value {
        let client = self.client_of(site);
        let custom =
            if site % 5 == 1 { json!([{"id": site, "field": 5, "site": site, "value": "EU"}]) } else { json!([]) };
        let mut object = policies(site, &self.site_name(site), custom, count);
        object.insert("client_name".to_owned(), json!(self.client_name(client)));
        object.insert("client".to_owned(), json!(client));
        with_counts(object, count, counted)
    }

    fn client_object(&self, client: i64, call: &Call, counts: &HashMap<i64, SiteCount>, counted: bool) -> Value {
        let count = self.count_client(client, counts);
        let custom = if client % 4 == 1 {
            json!([{"id": client, "field": 4, "client": client, "value": format!("PSA-{}", 999 + client)}])
        } else {
            json!([])
        };
        let mut object = policies(client, &self.client_name(client), custom, count);
        // inside a client the sites are always counted
        let sites: Vec<Value> = self
            .sites()
            .filter(|site| self.client_of(*site) == client && call.role.sees(client, *site))
            .map(|site| self.site_object(site, counts.get(&site).copied().unwrap_or_default(), true))
            .collect();
        object.insert("sites".to_owned(), Value::Array(sites));
        with_counts(object, count, counted)
    }

    fn sees_client(&self, call: &Call, client: i64) -> bool {
        self.sites().any(|site| self.client_of(site) == client && call.role.sees(client, site))
    }
}

fn policies(id: i64, name: &str, custom_fields: Value, count: SiteCount) -> Map<String, Value> {
    let object = json!({
        "id": id, "name": name, "server_policy": null, "workstation_policy": null, "alert_template": null,
        "block_policy_inheritance": false,
        "custom_fields": custom_fields, "failing_checks": count.failing_checks(),
    });
    let Value::Object(object) = object else { return Map::new() };
    object
}

fn with_counts(mut object: Map<String, Value>, count: SiteCount, counted: bool) -> Value {
    if counted {
        object.insert("agent_count".to_owned(), json!(count.agents));
        object.insert("maintenance_mode".to_owned(), json!(count.maintenance));
    }
    Value::Object(object)
}

/// `GET /clients/`
pub(super) fn list(call: &Call) -> Response {
    let world = call.shared.world();
    let counts = world.count_sites();
    let rows: Vec<Value> = world
        .clients()
        .filter(|client| world.sees_client(call, *client))
        .map(|client| world.client_object(client, call, &counts, true))
        .collect();
    ok(&rows)
}

/// `GET /clients/<id>/`: without counts of its own.
pub(super) fn one(client: i64, call: &Call) -> Response {
    let world = call.shared.world();
    if !world.has_client(client) {
        return no_such("Client");
    }
    if !world.sees_client(call, client) {
        return forbidden();
    }
    ok(&world.client_object(client, call, &world.count_sites(), false))
}

/// `GET /clients/sites/`: without counts.
pub(super) fn sites(call: &Call) -> Response {
    let world = call.shared.world();
    let counts = world.count_sites();
    let rows: Vec<Value> = world
        .sites()
        .filter(|site| call.role.sees(world.client_of(*site), *site))
        .map(|site| world.site_object(site, counts.get(&site).copied().unwrap_or_default(), false))
        .collect();
    ok(&rows)
}

/// `GET /clients/sites/<id>/`
pub(super) fn one_site(site: i64, call: &Call) -> Response {
    let world = call.shared.world();
    if !world.has_site(site) {
        return no_such("Site");
    }
    if !call.role.sees(world.client_of(site), site) {
        return forbidden();
    }
    let count = world.count_sites().get(&site).copied().unwrap_or_default();
    ok(&world.site_object(site, count, false))
}
