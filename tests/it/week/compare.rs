//! Every alert against the server's own, and what belongs to no single device: mappings, merges, tenants.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;
use tests::Fleet;
use tests::simulator::{AgentTruth, AlertTruth, Role, Severity};
use uuid::Uuid;

use super::devices::{self, Device};
use super::programs;
use super::relay::Told;
use super::side::Side;

/// A poll after a gap looks back so far (pipeline §4).
const BACKFILL: TimeDelta = TimeDelta::days(1);

/// What a reader sees of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alert {
    agent_id: Option<String>,
    asset_id: Option<Uuid>,
    severity: String,
    status: String,
    triggered_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    message: Option<String>,
    snoozed: Option<bool>,
    hidden: Option<bool>,
}

impl Alert {
    fn is_open(&self) -> bool {
        self.status != "resolved"
    }
}

/// Everything of one tenant that is not as it should be.
pub(super) async fn side(fleet: &Fleet, side: &Side) -> Vec<String> {
    let devices = devices::rows(fleet, side.tenant).await;
    let mut differences = devices::differences(side, &devices);
    differences.extend(programs::differences(side, &devices, &programs::shown(fleet, side.tenant).await));
    differences.extend(alerts(fleet, side, &devices).await);
    differences.extend(occurrences(fleet, side).await);
    differences.extend(mappings(fleet, side).await);
    differences.extend(merges(fleet, side, &devices).await);
    differences
}

async fn rows(fleet: &Fleet, tenant: Uuid) -> BTreeMap<String, Alert> {
    let sql =
        "select external_alert_id, external_device_id, asset_id, severity, status, triggered_at, resolved_at, message,
                      (metadata ->> 'snoozed')::boolean, (metadata ->> 'hidden')::boolean
               from rmm_alerts where tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).bind(tenant).fetch_all(&mut connection).await.expect("the database answers");
    let rows = rows.into_iter().map(|row| {
        let alert = Alert {
            agent_id: row.get(1),
            asset_id: row.get(2),
            severity: row.get(3),
            status: row.get(4),
            triggered_at: row.get(5),
            resolved_at: row.get(6),
            message: row.get(7),
            snoozed: row.get(8),
            hidden: row.get(9),
        };
        (row.get(0), alert)
    });
    rows.collect()
}

/// What is true of the alerts, and what anybody could know of it.
struct World<'a> {
    side: &'a Side,
    role: Role,
    now: DateTime<Utc>,
    agents: BTreeMap<String, AgentTruth>,
    devices: &'a BTreeMap<String, Device>,
    told: Told,
    /// Every opening there ever was: number, time.
    openings: BTreeSet<(String, DateTime<Utc>)>,
    /// Those that were over at some time, also where a restored server has them open again.
    over: BTreeSet<(i64, DateTime<Utc>)>,
}

impl World<'_> {
    /// Whether the key sees the alert's agent, or would see that there is none.
    fn shows(&self, truth: &AlertTruth) -> bool {
        let Some(agent_id) = &truth.agent_id else { return true };
        let place = self.agents.get(agent_id).map(|agent| (agent.client.0, agent.site.0));
        self.role.sees_all() || place.is_some_and(|(client, site)| self.role.sees(client, site))
    }

    /// Whether a row must tell of it: the key sees it as open, or opened within the last day, or a webhook told of it.
    fn must_be_known(&self, truth: &AlertTruth) -> bool {
        let is_listed = truth.deleted_at.is_none() && self.shows(truth);
        let is_young = truth.alert_time > self.now - BACKFILL;
        (is_listed && (truth.resolved_on.is_none() || is_young)) || self.told.any.contains(&key(truth))
    }

    /// What differs between an alert and the row of its number.
    fn compare(&self, truth: &AlertTruth, row: Option<&Alert>) -> Option<String> {
        let is_open = truth.resolved_on.is_none() && truth.deleted_at.is_none();
        let Some(row) = row else {
            return self.must_be_known(truth).then(|| format!("has no row: {truth:?}"));
        };
        if row.triggered_at != truth.alert_time {
            // the number was another alert's before the server was restored, and nobody told of this one
            let was_there = self.openings.contains(&(truth.alert_id.to_string(), row.triggered_at));
            let is_wrong = self.must_be_known(truth) || !was_there || (row.is_open() && self.role.sees_all());
            return is_wrong.then(|| format!("is another alert's: {row:?} for {truth:?}"));
        }
        if !self.shows(truth) {
            return self.compare_hidden(truth, row, is_open).map(|why| format!("{why}: {row:?} for {truth:?}"));
        }
        let expected = Alert {
            agent_id: truth.agent_id.clone(),
            asset_id: self.asset(truth, row),
            severity: self.severity(truth, row, is_open),
            status: match (is_open, row.status.as_str()) {
                (true, "acknowledged") => "acknowledged".to_owned(),
                (true, _) => "active".to_owned(),
                (false, _) => "resolved".to_owned(),
            },
            triggered_at: truth.alert_time,
            resolved_at: row.resolved_at.filter(|_| !is_open).or((!is_open).then_some(DateTime::UNIX_EPOCH)),
            // webhooks do not tell it: one that was over before it was read has none
            message: truth.message.clone().filter(|text| !text.is_empty()).filter(|_| is_open || row.message.is_some()),
            snoozed: if is_open { Some(truth.snoozed) } else { row.snoozed },
            hidden: if is_open { Some(truth.hidden) } else { row.hidden },
        };
        (expected != *row).then(|| format!("should be {expected:?} and is {row:?}"))
    }

    /// What is wrong about an alert that the key does not see. Whether it is over only webhooks and looks before can have told,
    /// and never unless it was. A server that was restored may have open again what was over.
    fn compare_hidden(&self, truth: &AlertTruth, row: &Alert, is_open: bool) -> Option<&'static str> {
        let key = key(truth);
        if row.agent_id != truth.agent_id {
            return Some("is another agent's");
        }
        if is_open && !row.is_open() && !self.over.contains(&key) {
            return Some("is resolved, which nobody said");
        }
        let was_told = truth.generation == 0 && self.told.ended.contains(&key);
        (row.is_open() && was_told).then_some("is open, and its end was told")
    }

    /// The device of its agent. A person who merged two devices has given it the other one.
    fn asset(&self, truth: &AlertTruth, row: &Alert) -> Option<Uuid> {
        let agent_id = truth.agent_id.as_ref()?;
        let own = self.devices.get(agent_id).map(|device| device.asset_id);
        own.or_else(|| row.asset_id.filter(|_| self.side.script.may_be_merged(agent_id)))
    }

    /// An open one is as bad as Tactical says; one that is over is as bad as it was when somebody last told.
    fn severity(&self, truth: &AlertTruth, row: &Alert, is_open: bool) -> String {
        let known = self.side.script.severities.get(&(truth.generation, truth.alert_id));
        let was_so = known.into_iter().flatten().any(|severity| word(*severity) == row.severity);
        if !is_open && was_so { row.severity.clone() } else { word(truth.severity).to_owned() }
    }
}

fn key(truth: &AlertTruth) -> (i64, DateTime<Utc>) {
    (truth.alert_id, truth.alert_time)
}

/// AlgaPSA's word.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "critical",
        Severity::Warning => "moderate",
        Severity::Info => "minor",
    }
}

/// Alerts that were resolved or deleted. What was there when its server was restored counts as deleted then, and was not.
fn over(truths: &[AlertTruth]) -> BTreeSet<(i64, DateTime<Utc>)> {
    let newest = truths.iter().map(|truth| truth.generation).max();
    let mut restored_at = BTreeMap::new();
    for truth in truths.iter().filter(|truth| Some(truth.generation) != newest) {
        let at = restored_at.entry(truth.generation).or_insert(truth.deleted_at);
        *at = truth.deleted_at.max(*at);
    }
    let is_over = |truth: &&AlertTruth| {
        let restored_at = restored_at.get(&truth.generation).copied().flatten();
        truth.resolved_on.is_some() || (truth.deleted_at.is_some() && truth.deleted_at != restored_at)
    };
    truths.iter().filter(is_over).map(key).collect()
}

async fn alerts(fleet: &Fleet, side: &Side, devices: &BTreeMap<String, Device>) -> Vec<String> {
    let control = side.control();
    let agents = control.agents().into_iter().map(|truth| (truth.agent_id.clone(), truth)).collect();
    let (role, now, told, truths) = (side.role(), control.now(), side.relay.told(), control.alerts());
    let openings = truths.iter().map(|truth| (truth.alert_id.to_string(), truth.alert_time)).collect();
    let over = over(&truths);
    let world = World { side, role, now, agents, devices, told, openings, over };
    let rows = rows(fleet, side.tenant).await;
    // numbers are given again by a restored server: the newest alert has it
    let newest: BTreeMap<String, AlertTruth> =
        truths.into_iter().map(|truth| (truth.alert_id.to_string(), truth)).collect();
    let mut differences: Vec<String> = (newest.iter())
        .filter_map(|(number, truth)| Some(format!("alert {number} {}", world.compare(truth, rows.get(number))?)))
        .collect();
    let foreign = rows.iter().filter(|(number, _)| !newest.contains_key(*number));
    differences.extend(foreign.map(|(number, row)| format!("alert {number} is nobody's: {row:?}")));

    let is_known_open = |number: &String| {
        newest
            .get(number)
            .is_some_and(|truth| truth.resolved_on.is_none() && truth.deleted_at.is_none() && world.shows(truth))
    };
    let untold = rows.iter().filter(|(number, row)| row.is_open() && !is_known_open(number)).count() as i64;
    if side.unverifiable != untold {
        let counted = side.unverifiable;
        differences.push(format!("{untold} open alerts are nobody's to tell, and {counted} were counted"));
    }
    differences
}

/// Openings of one dedup key are numbered by their time.
async fn occurrences(fleet: &Fleet, side: &Side) -> Vec<String> {
    let sql = "select format('alert %s is opening %s of %s, shown as %s', external_alert_id, place, dedup_key, occurrence_count)
               from (
                   select *, row_number() over (
                       partition by integration_id, dedup_key order by triggered_at, external_alert_id collate \"C\"
                   ) as place
                   from rmm_alerts where tenant = $1
               ) numbered
               where place <> occurrence_count";
    let mut connection = fleet.database().connect().await;
    sqlx::query_scalar(sql).bind(side.tenant).fetch_all(&mut connection).await.expect("the database answers")
}

/// A client that is shown has its name here and is not marked as vanished, as every other is; a person's client stays with it.
async fn mappings(fleet: &Fleet, side: &Side) -> Vec<String> {
    let sql = "select external_organization_id, external_organization_name,
                      coalesce((metadata ? 'vanished_at'), false), client_id
               from rmm_organization_mappings where tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).bind(side.tenant).fetch_all(&mut connection).await.expect("the database answers");
    let rows: BTreeMap<String, (Option<String>, bool, Option<Uuid>)> =
        rows.into_iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    let shown: BTreeSet<String> = side.shown_clients().iter().map(i64::to_string).collect();
    let names: BTreeMap<String, String> =
        side.control().agents().into_iter().map(|agent| (agent.client.0.to_string(), agent.client.1)).collect();
    let mut differences = Vec::new();
    for id in shown.iter().chain(rows.keys()).collect::<BTreeSet<_>>() {
        let (is_shown, wanted) = (shown.contains(id), names.get(id));
        let is_right = rows.get(id).is_some_and(|(name, is_vanished, client_id)| {
            let is_named = !is_shown || wanted.is_none() || wanted == name.as_ref();
            is_named && *is_vanished != is_shown && *client_id == side.mapped.get(id).copied()
        });
        if !is_right {
            let row = rows.get(id);
            differences
                .push(format!("client {id} is {wanted:?} (shown: {is_shown}), here {row:?} (name, vanished, of)"));
        }
    }
    differences
}

/// A machine that was installed anew is proposed to be its old device, where it still has one, missing, of the same client; and
/// nothing is proposed of two machines.
async fn merges(fleet: &Fleet, side: &Side, devices: &BTreeMap<String, Device>) -> Vec<String> {
    let sql = "select old_agent_id, agent_id from muster.merge_proposal where tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).bind(side.tenant).fetch_all(&mut connection).await.expect("the database answers");
    let proposed: BTreeSet<(String, String)> = rows.into_iter().map(|row| (row.get(0), row.get(1))).collect();
    // what a maker left in place of a serial number is nobody's own
    let is_telling = |serial: &String| serial.starts_with("SN") || serial.starts_with("C02");
    let pairs = side.script.reinstalled.iter().filter(|pair| {
        let (Some(old), Some(new)) = (devices.get(&pair.0), devices.get(&pair.1)) else { return false };
        let is_same = old.client_id == new.client_id && old.serial == new.serial;
        is_same
            && new.serial.as_ref().is_some_and(is_telling)
            && old.missing_since.is_some()
            && new.missing_since.is_none()
    });
    let lacking = pairs.filter(|pair| !proposed.contains(*pair));
    let mut differences: Vec<String> =
        lacking.map(|(old, new)| format!("it is not proposed that {new} is {old}")).collect();
    let serial = |agent_id: &String| side.script.seen.serial(agent_id).map(str::to_owned).filter(is_telling);
    let wrong = proposed.iter().filter(|(old, new)| old == new || serial(old).is_none() || serial(old) != serial(new));
    differences.extend(wrong.map(|(old, new)| format!("it is proposed that {new} is {old}, which is another machine")));
    differences
}

/// Nothing of one tenant's stands under another, though both servers have the same ids.
pub(super) async fn tenants(fleet: &Fleet, sides: &[Side]) -> Vec<String> {
    let mut known: Vec<Uuid> = sides.iter().map(|side| side.tenant).collect();
    known.push(fleet.connection().tenant);
    let mut connection = fleet.database().connect().await;
    let tables = "select format('%I.%I', table_schema, table_name) from information_schema.columns
                  where column_name = 'tenant' and table_schema in ('public', 'muster')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.expect("it answers");
    let mut differences = Vec::new();
    for table in tables {
        let sql = format!("select count(*) from {table} where tenant <> all ($1)");
        let sql = sqlx::AssertSqlSafe(sql);
        let foreign: i64 = sqlx::query_scalar(sql).bind(&known).fetch_one(&mut connection).await.expect("it answers");
        if foreign > 0 {
            differences.push(format!("{table} has {foreign} rows of no tenant"));
        }
    }
    let crossed = "select count(*) from rmm_alerts a
                   left join rmm_integrations i using (tenant, integration_id)
                   left join assets d on d.tenant = a.tenant and d.asset_id = a.asset_id
                   where i.integration_id is null or (a.asset_id is not null and d.asset_id is null)";
    let crossed: i64 = sqlx::query_scalar(crossed).fetch_one(&mut connection).await.expect("it answers");
    if crossed > 0 {
        differences.push(format!("{crossed} alerts lead to another tenant's rows"));
    }
    differences
}
