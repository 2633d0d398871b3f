//! `/beta/v1/`: pages of agents and sites, a bare array of clients, filters, and the bugs of 1.5.1.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::agents::{hardware, model};
use super::clients::SiteCount;
use super::clock::iso;
use super::presence::Agent;
use super::reply::{crash, detail, forbidden, invalid, no_such, ok, streamed_between, write_row};
use super::server::Call;
use super::world::World;

/// Rows of a page: the default and the most.
const PAGE_ROWS: i64 = 100;
const PAGE_ROWS_MAX: i64 = 1000;

/// A page of a list of `count` rows.
struct Page {
    skip: usize,
    rows: usize,
    next: Option<String>,
    previous: Option<String>,
}

impl Page {
    /// The page that a call asks for; out of range is an answer of its own.
    fn of(call: &Call, count: usize) -> Result<Self, Box<Response>> {
        let wrong = || Box::new(detail(StatusCode::NOT_FOUND, "Invalid page."));
        let asked = call
            .parameter("page_size")
            .and_then(|size| size.parse().ok())
            .filter(|size| *size > 0)
            .unwrap_or(PAGE_ROWS);
        let rows = asked.min(PAGE_ROWS_MAX) as usize;
        let last = count.div_ceil(rows).max(1);
        let number = match call.parameter("page") {
            None => 1,
            Some("last") => last,
            Some(page) => page.parse().map_err(|_| wrong())?,
        };
        if number < 1 || number > last {
            return Err(wrong());
        }
        let next = (number < last).then(|| link(call, number + 1));
        let previous = (number > 1).then(|| link(call, number - 1));
        Ok(Self { skip: (number - 1) * rows, rows, next, previous })
    }

    fn opening(&self, count: usize) -> String {
        format!("{{\"count\":{count},\"next\":{},\"previous\":{},\"results\":[", json!(self.next), json!(self.previous))
    }
}

/// The absolute URL of a page: parameters sorted, page 1 without its number.
fn link(call: &Call, page: usize) -> String {
    let mut pairs: Vec<(String, String)> = call.query.iter().filter(|(key, _)| key != "page").cloned().collect();
    if page > 1 {
        pairs.push(("page".to_owned(), page.to_string()));
    }
    pairs.sort();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{}{mark}{query}", call.origin, call.path)
}

/// The filters of the agent list that are set.
#[derive(Default)]
struct Filter {
    exact: Vec<(&'static str, String)>,
    client: Option<i64>,
    search: Option<String>,
    seen_after: Option<DateTime<Utc>>,
    seen_before: Option<DateTime<Utc>>,
    ram: (Option<i64>, Option<i64>),
}

/// Filters that compare a column as it is.
const EXACT: [&str; 11] = [
    "id",
    "hostname",
    "operating_system",
    "plat",
    "monitoring_type",
    "needs_reboot",
    "logged_in_username",
    "last_logged_in_user",
    "alert_template",
    "site",
    "policy",
];

impl Filter {
    fn read(call: &Call, world: &World) -> Result<Self, Box<Response>> {
        let wrong = |field: &str, text: &str| Box::new(invalid(field, text));
        let choice = "Select a valid choice. That choice is not one of the available choices.";
        let set = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
        let site_known = |site: &str| site.parse().is_ok_and(|site: i64| world.has_site(site));
        if set("site").is_some_and(|site| !site_known(site)) {
            return Err(wrong("site", choice));
        }
        for (field, known) in
            [("plat", &["windows", "linux", "darwin"][..]), ("monitoring_type", &["server", "workstation"][..])]
        {
            if let Some(value) = set(field).filter(|value| !known.contains(value)) {
                return Err(wrong(
                    field,
                    &format!("Select a valid choice. {value} is not one of the available choices."),
                ));
            }
        }
        let time = |name: &str| {
            set(name)
                .map(|time| read_time(time).ok_or_else(|| wrong("last_seen_range", "Enter a valid date/time.")))
                .transpose()
        };
        let number = |name: &str, field: &str| {
            set(name).map(|text| text.parse().map_err(|_| wrong(field, "Enter a number."))).transpose()
        };
        Ok(Self {
            exact: EXACT.iter().filter_map(|&name| Some((name, set(name)?.to_owned()))).collect(),
            client: number("client_id", "client_id")?,
            search: set("search").map(str::to_lowercase),
            seen_after: time("last_seen_range_after")?,
            seen_before: time("last_seen_range_before")?,
            ram: (number("total_ram_range_min", "total_ram_range")?, number("total_ram_range_max", "total_ram_range")?),
        })
    }

    fn takes(&self, world: &World, agent: &Agent) -> bool {
        let seen_in_range = self.seen_after.is_none_or(|after| agent.last_seen.is_some_and(|seen| seen >= after))
            && self.seen_before.is_none_or(|before| agent.last_seen.is_some_and(|seen| seen <= before));
        let ram = agent.machine.total_ram_gb();
        let ram_in_range = self.ram.0.is_none_or(|min| ram.is_some_and(|ram| ram >= min))
            && self.ram.1.is_none_or(|max| ram.is_some_and(|ram| ram <= max));
        let here = self.client.is_none_or(|client| client == agent.client);
        here && seen_in_range
            && ram_in_range
            && self.search.as_ref().is_none_or(|text| found(world, agent, text))
            && self.exact_matches(world, agent)
    }

    fn exact_matches(&self, world: &World, agent: &Agent) -> bool {
        if self.exact.is_empty() {
            return true;
        }
        let row = model(world, agent);
        self.exact.iter().all(|(name, wanted)| match &row[*name] {
            Value::String(text) => text == wanted,
            Value::Bool(truth) => wanted.eq_ignore_ascii_case(if *truth { "true" } else { "false" }),
            Value::Null => false,
            Value::Number(number) => number.to_string() == *wanted,
            Value::Array(_) | Value::Object(_) => false,
        })
    }
}

/// The search looks at host names and at the text of the services.
fn found(world: &World, agent: &Agent, text: &str) -> bool {
    let services = || agent.machine.services(world.config.services_per_agent).to_string().to_lowercase();
    agent.hostname.to_lowercase().contains(text) || services().contains(text)
}

/// A date and time in one of the forms that Django's filters read; without a zone it is UTC.
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let naive = |format| chrono::NaiveDateTime::parse_from_str(text, format).ok().map(|time| time.and_utc());
    let date = || {
        chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|date| date.and_hms_opt(0, 0, 0))
            .map(|time| time.and_utc())
    };
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.to_utc())
        .or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|| naive("%Y-%m-%d %H:%M:%S%.f"))
        .or_else(date)
}

/// `GET /beta/v1/agent/`: everybody's agents, whatever the role may see.
pub(super) fn agents(call: Call) -> Response {
    // filtering by agent_id is broken in 1.5.1
    if call.parameter("agent_id").is_some() {
        return crash();
    }
    let now = call.shared.world().now();
    let (count, page, mut pks) = {
        let world = call.shared.world();
        let filter = match Filter::read(&call, &world) {
            Ok(filter) => filter,
            Err(response) => return *response,
        };
        let mut pks: Vec<i64> = world
            .pks_after(0)
            .filter(|pk| world.agent_at(*pk, now).is_some_and(|agent| filter.takes(&world, &agent)))
            .collect();
        if call.parameter("ordering") == Some("-id") {
            pks.reverse();
        }
        let page = match Page::of(&call, pks.len()) {
            Ok(page) => page,
            Err(response) => return *response,
        };
        (pks.len(), page, pks)
    };
    let mut chosen = pks.drain(..).skip(page.skip).take(page.rows).collect::<Vec<_>>().into_iter();
    streamed_between(page.opening(count), "]}", move |out| {
        let world = call.shared.world();
        chosen.find_map(|pk| world.agent_at(pk, now)).is_some_and(|agent| write_row(out, &model(&world, &agent)))
    })
}

/// `GET /beta/v1/agent/<pk>/`; a PUT crashes, as it does without `?agent_id=` on the real server.
pub(super) fn agent(id: &str, call: &Call) -> Response {
    if call.method != Method::GET {
        return crash();
    }
    let Ok(pk) = id.parse() else { return detail(StatusCode::NOT_FOUND, "Not found.") };
    let world = call.shared.world();
    let Some(agent) = world.agent(pk) else { return no_such("Agent") };
    let mut object = model(&world, &agent);
    let machine = &agent.machine;
    let extra = json!({"hex_mesh_node_id": machine.mesh_node().unwrap_or_else(|| "error".to_owned()),
    "pending_actions_count": 0, "serial_number": machine.serial()});
    if let Some(object) = object.as_object_mut() {
        for gone in ["id", "default_shell", "default_shell_custom", "created_by", "created_time"] {
            object.remove(gone);
        }
        for part in [extra, hardware(&world, &agent)] {
            if let Value::Object(part) = part {
                object.extend(part);
            }
        }
    }
    ok(&object)
}

fn object(world: &World, id: i64, name: &str, count: SiteCount, client: Option<i64>) -> Value {
    let stamp = iso(world.started - TimeDelta::days(400) + TimeDelta::microseconds(id));
    let mut object = json!({
        "id": id, "created_by": null, "created_time": stamp, "modified_by": null, "modified_time": stamp, "name": name,
        "block_policy_inheritance": false, "failing_checks": count.failing_checks(), "workstation_policy": null,
        "server_policy": null,
        "alert_template": null,
    });
    if let Some(client) = client {
        object["client"] = json!(client);
    }
    object
}

/// `GET /beta/v1/client/`: a bare array, page parameters ignored.
pub(super) fn clients(call: &Call) -> Response {
    let world = call.shared.world();
    let counts = world.count_sites();
    let rows: Vec<Value> = world
        .clients()
        .map(|client| object(&world, client, &world.client_name(client), world.count_client(client, &counts), None))
        .collect();
    ok(&rows)
}

/// `GET /beta/v1/client/<id>/`: here the role's scope is checked.
pub(super) fn client(id: &str, call: &Call) -> Response {
    let world = call.shared.world();
    let Some(client) = id.parse().ok().filter(|client| world.has_client(*client)) else {
        return no_such("Client");
    };
    if !world.sites().any(|site| world.client_of(site) == client && call.role.sees(client, site)) {
        return forbidden();
    }
    let count = world.count_client(client, &world.count_sites());
    ok(&object(&world, client, &world.client_name(client), count, None))
}

/// `GET /beta/v1/site/`: paginated; `search` works, `client` does nothing.
pub(super) fn sites(call: &Call) -> Response {
    let world = call.shared.world();
    let counts = world.count_sites();
    let search = call.parameter("search").map(str::to_lowercase).unwrap_or_default();
    let mut all: Vec<i64> =
        world.sites().filter(|site| world.site_name(*site).to_lowercase().contains(&search)).collect();
    if call.parameter("ordering") == Some("-id") {
        all.reverse();
    }
    let page = match Page::of(call, all.len()) {
        Ok(page) => page,
        Err(response) => return *response,
    };
    let rows: Vec<Value> = all
        .iter()
        .skip(page.skip)
        .take(page.rows)
        .map(|&site| {
            object(
                &world,
                site,
                &world.site_name(site),
                counts.get(&site).copied().unwrap_or_default(),
                Some(world.client_of(site)),
            )
        })
        .collect();
    ok(&json!({"count": all.len(), "next": page.next, "previous": page.previous, "results": rows}))
}

/// `GET /beta/v1/site/<id>/`
pub(super) fn site(id: &str, call: &Call) -> Response {
    let world = call.shared.world();
    let Some(site) = id.parse().ok().filter(|site| world.has_site(*site)) else { return no_such("Site") };
    let client = world.client_of(site);
    if !call.role.sees(client, site) {
        return forbidden();
    }
    let count = world.count_sites().get(&site).copied().unwrap_or_default();
    ok(&object(&world, site, &world.site_name(site), count, Some(client)))
}
