//! Names lead to alerts: claiming them, and finding out which of them mean the same one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::postgres::PgConnection;
use tracing::Instrument as _;
use uuid::Uuid;

use super::fact::{Fact, Key};
use super::statement;
use crate::Error;
use crate::error::Attempt;

/// A name: tenant, integration, the key's text.
pub(crate) type Name = (Uuid, Uuid, String);
/// An alert: tenant, alert id. In this order locks are taken.
pub(crate) type AlertId = (Uuid, Uuid);

/// A fact of the batch that is about an alert, with the names that it gives it.
pub(crate) struct Item {
    pub(crate) fact: Fact,
    pub(crate) keys: Vec<Key>,
}

impl Item {
    fn name(&self, key: &Key) -> Name {
        (self.fact.tenant, self.fact.integration_id, key.text())
    }

    fn number(&self) -> Option<&str> {
        self.keys.iter().find_map(|key| match key {
            Key::Number(number) => Some(number.as_str()),
            Key::Place(_) | Key::Device(_) => None,
        })
    }

    /// The names, the number's first.
    fn names(&self) -> Vec<Name> {
        self.keys.iter().map(|key| self.name(key)).collect()
    }
}

/// Where the batch's names lead.
#[derive(Default)]
pub(crate) struct Names {
    /// Every name's alert.
    pub(crate) alerts: HashMap<Name, AlertId>,
    /// The names that this transaction made.
    made: HashSet<Name>,
    /// The ids that this transaction drew.
    drawn: HashSet<Uuid>,
}

impl Names {
    /// The alerts that may exist already, in the order of their locks.
    pub(crate) fn to_lock(&self) -> BTreeSet<AlertId> {
        self.alerts.values().filter(|(_, alert_id)| !self.drawn.contains(alert_id)).copied().collect()
    }

    /// Whether a name of an earlier transaction leads there: then a state must exist.
    pub(crate) fn is_known(&self, alert: AlertId) -> bool {
        self.alerts.iter().any(|(name, id)| *id == alert && !self.made.contains(name))
    }
}

/// Claims every name of the batch in one statement, then reads where they lead.
pub(crate) async fn claim(connection: &mut PgConnection, items: &[Item]) -> Result<Names, Error> {
    let wanted = draw(items);
    let mut names = Names { drawn: wanted.values().map(|(_, id)| *id).collect(), ..Names::default() };
    let tenants: Vec<Uuid> = wanted.keys().map(|name| name.0).collect();
    let integrations: Vec<Uuid> = wanted.keys().map(|name| name.1).collect();
    let keys: Vec<&str> = wanted.keys().map(|name| name.2.as_str()).collect();
    let numbers: Vec<Option<&str>> = wanted.values().map(|(number, _)| number.as_deref()).collect();
    let ids: Vec<Uuid> = wanted.values().map(|(_, id)| *id).collect();
    let made = sqlx::query_file!("sql/alert/claim_keys.sql", &tenants, &integrations, &keys as _, &numbers as _, &ids)
        .fetch_all(&mut *connection)
        .instrument(statement("INSERT", "muster.alert_key", wanted.len()))
        .await
        .attempt(format!("claim {} alert keys", wanted.len()))?;
    for row in made {
        let name = (row.tenant, row.integration_id, row.key);
        names.alerts.insert(name.clone(), (row.tenant, row.alert_id));
        names.made.insert(name);
    }
    if names.made.len() < wanted.len() {
        let found = sqlx::query_file!("sql/alert/find_keys.sql", &tenants, &integrations, &keys as _)
            .fetch_all(&mut *connection)
            .await
            .attempt(format!("read {} alert keys", wanted.len()))?;
        for row in found {
            names.alerts.insert((row.tenant, row.integration_id, row.key), (row.tenant, row.alert_id));
        }
        // one that stood there a moment ago has just been forgotten with its alert
        if names.alerts.len() < wanted.len() {
            return Err(super::raced("claim alert keys"));
        }
    }
    Ok(names)
}

/// For each name the number that its fact has beside it, and an id in case it is new: one for both names of a fact.
fn draw(items: &[Item]) -> BTreeMap<Name, (Option<String>, Uuid)> {
    let mut wanted: BTreeMap<Name, (Option<String>, Uuid)> = BTreeMap::new();
    for item in items {
        let names = item.names();
        let number = item.number();
        // a time that another number has leads elsewhere
        let is_mine =
            |drawn: &&(Option<String>, Uuid)| drawn.0.is_none() || number.is_none() || drawn.0.as_deref() == number;
        let drawn = names.iter().filter_map(|name| wanted.get(name)).find(is_mine);
        let id = drawn.map_or_else(Uuid::now_v7, |(_, id)| *id);
        for name in names {
            let entry = wanted.entry(name).or_insert((None, id));
            entry.0 = entry.0.take().or(number.map(str::to_owned));
        }
    }
    wanted
}

/// Alerts that turned out to be one, with the facts about it.
#[derive(Debug, Default)]
pub(crate) struct Component {
    /// Every alert id that a name of it leads to.
    pub(crate) members: BTreeSet<AlertId>,
    /// Positions in the batch.
    pub(crate) items: Vec<usize>,
    /// Its names in this batch.
    pub(crate) names: Vec<Name>,
}

/// Sorts the batch by alert. `numbers` are those of the stored alerts.
///
/// Two names of one fact mean one alert. Two numbers never do: where two alerts of one agent claim one `alert_time`, as
/// with a template that fills in some other time, the number decides and the time names the alert that had it first.
pub(crate) fn components(items: &[Item], names: &Names, numbers: &HashMap<AlertId, String>) -> Vec<Component> {
    let mut numbers = numbers.clone();
    for item in items {
        if let (Some(number), Some(name)) = (item.number(), item.names().first()) {
            numbers.insert(names.alerts[name], number.to_owned());
        }
    }
    let mut same = Same { parent: HashMap::new(), numbers };
    for item in items {
        if let [number, place] = item.names().as_slice() {
            same.unite(names.alerts[number], names.alerts[place]);
        }
    }
    let mut components: BTreeMap<AlertId, Component> = BTreeMap::new();
    for (name, alert) in &names.alerts {
        let component = components.entry(same.root(*alert)).or_default();
        component.members.insert(*alert);
        component.names.push(name.clone());
    }
    for (position, item) in items.iter().enumerate() {
        let home = names.alerts[&item.names()[0]];
        components.entry(same.root(home)).or_default().items.push(position);
    }
    components.into_values().filter(|component| !component.items.is_empty()).collect()
}

/// Which alerts are the same: a union-find that keeps two numbers apart.
struct Same {
    parent: HashMap<AlertId, AlertId>,
    numbers: HashMap<AlertId, String>,
}

impl Same {
    fn root(&self, mut alert: AlertId) -> AlertId {
        while let Some(parent) = self.parent.get(&alert) {
            alert = *parent;
        }
        alert
    }

    fn unite(&mut self, numbered: AlertId, placed: AlertId) {
        let (numbered, placed) = (self.root(numbered), self.root(placed));
        let other = self.numbers.get(&placed);
        if numbered == placed || (other.is_some() && other != self.numbers.get(&numbered)) {
            return;
        }
        self.parent.insert(placed, numbered);
    }
}

/// Lets names lead to the alert that stays.
pub(crate) async fn repoint(connection: &mut PgConnection, moved: &[(Name, AlertId)]) -> Result<(), Error> {
    if moved.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = moved.iter().map(|(name, _)| name.0).collect();
    let integrations: Vec<Uuid> = moved.iter().map(|(name, _)| name.1).collect();
    let keys: Vec<&str> = moved.iter().map(|(name, _)| name.2.as_str()).collect();
    let ids: Vec<Uuid> = moved.iter().map(|(_, alert)| alert.1).collect();
    sqlx::query_file!("sql/alert/repoint_keys.sql", &tenants, &integrations, &keys as _, &ids)
        .execute(connection)
        .await
        .attempt(format!("move {} alert keys", moved.len()))
        .map(drop)
}
