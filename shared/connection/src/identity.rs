//! Whether the server behind a connection is still the one that the mappings were made for. Pure.
//!
//! Tactical numbers clients from 1 on every server, so that behind a changed URL, or after a server was replaced, number 7
//! may be another customer: its devices would be imported to the wrong one. The numbers with their names are compared
//! first. Where they differ the agents decide, because their ids are random and survive everything but a reinstallation: a
//! client that was renamed still has its agents.

use std::collections::{BTreeMap, HashMap};

/// Clients by number, with their names.
pub type Clients = BTreeMap<String, String>;

/// Agents that are listed, with the name of the client that each is listed under.
pub type Listed = HashMap<String, Option<String>>;

/// Whether any known client has another name, or is gone; new clients are no difference.
#[must_use]
pub fn differs(known: &Clients, shown: &Clients) -> bool {
    known.iter().any(|(id, name)| shown.get(id) != Some(name))
}

/// Where the known agents of a client are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Under the name that its number has now.
    Same,
    /// Under other clients.
    Elsewhere,
    /// In no list.
    Nowhere,
}

/// Whether another server is there. Asked only where [`differs`] says so, or the URL is not the confirmed one; `agents` are
/// some known ones of each client, by the client's number.
///
/// Clients that are not shown say nothing: the key may see less than before. Where no agent is known, or none listed, the
/// names decide. Names that changed places, and a renamed client whose agents are under others, are another server in any
/// case: one that was set up anew and that the agents were moved to.
#[must_use]
pub fn is_other(known: &Clients, shown: &Clients, agents: &BTreeMap<String, Vec<String>>, listed: &Listed) -> bool {
    if changed_places(known, shown) {
        return true;
    }
    let (mut same, mut nowhere) = (0, 0);
    for (id, name) in known {
        let (Some(now), Some(agents)) = (shown.get(id), agents.get(id)) else { continue };
        match place(now, agents, listed) {
            Place::Same => same += 1,
            Place::Elsewhere if now != name => return true,
            Place::Elsewhere => {}
            Place::Nowhere => nowhere += 1,
        }
    }
    if same + nowhere > 0 && !listed.is_empty() {
        return nowhere > same;
    }
    let both = known.iter().filter_map(|(id, name)| Some((name, shown.get(id)?)));
    let (kept, renamed): (Vec<_>, Vec<_>) = both.partition(|(before, now)| before == now);
    kept.len() < renamed.len()
}

fn place(name: &str, agents: &[String], listed: &Listed) -> Place {
    let clients: Vec<Option<&str>> =
        agents.iter().filter_map(|agent_id| listed.get(agent_id)).map(Option::as_deref).collect();
    let there = clients.iter().filter(|client| **client == Some(name)).count();
    match clients.len() {
        0 => Place::Nowhere,
        all if there * 2 >= all => Place::Same,
        _ => Place::Elsewhere,
    }
}

/// Whether a known client's name now stands under another number while its own number has another name.
fn changed_places(known: &Clients, shown: &Clients) -> bool {
    let numbers: BTreeMap<&str, &str> = shown.iter().map(|(id, name)| (name.as_str(), id.as_str())).collect();
    known.iter().any(|(id, name)| {
        let is_renamed = shown.get(id).is_some_and(|now| now != name);
        is_renamed && numbers.get(name.as_str()).is_some_and(|number| number != id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(named: &[(&str, &str)]) -> Clients {
        named.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
    }

    /// Ten agents of each client, named by the server and the client's place.
    fn agents(server: &str, clients: &Clients) -> BTreeMap<String, Vec<String>> {
        let ids = |id: &str| (0..10).map(|agent| format!("{server} {id} {agent}")).collect();
        clients.keys().map(|id| (id.clone(), ids(id))).collect()
    }

    /// Each client's agents under the name that it has there.
    fn listed(server: &str, clients: &Clients) -> Listed {
        let agents = agents(server, clients);
        let each =
            agents.iter().flat_map(|(id, agents)| agents.iter().map(|agent| (agent.clone(), clients[id].clone())));
        each.map(|(agent, name)| (agent, Some(name))).collect()
    }

    #[test]
    fn new_clients_are_no_difference_and_renamed_or_vanished_ones_are() {
        let known = clients(&[("1", "Acme"), ("2", "Globex")]);
        assert!(!differs(&known, &clients(&[("1", "Acme"), ("2", "Globex"), ("3", "Initech")])));
        assert!(differs(&known, &clients(&[("1", "Acme"), ("2", "Globex GmbH")])));
        assert!(differs(&known, &clients(&[("1", "Acme")])));
    }

    #[test]
    fn the_table_of_servers() {
        let known = clients(&[("1", "Acme"), ("2", "Globex"), ("3", "Initech")]);
        let renamed = clients(&[("1", "Acme"), ("2", "Globex GmbH"), ("3", "Initech")]);
        let all_renamed = clients(&[("1", "A"), ("2", "B"), ("3", "C")]);
        let swapped = clients(&[("1", "Globex"), ("2", "Acme"), ("3", "Initech")]);
        let fewer = clients(&[("1", "Acme")]);
        let remade = clients(&[("1", "Acme"), ("3", "Initech"), ("9", "Globex")]);
        // what is shown, on which server, and whether that is another one
        let table = [
            (&renamed, "ours", false, "a rename"),
            (&all_renamed, "ours", false, "every client was renamed"),
            (&known, "ours", false, "another URL of the same server"),
            (&fewer, "ours", false, "a key that sees one client"),
            (&remade, "ours", false, "a client that was deleted and made again"),
            (&known, "theirs", true, "another server with the same names"),
            (&fewer, "theirs", true, "another server with one of the names"),
            (&all_renamed, "theirs", true, "another server"),
            (&swapped, "ours", true, "the same agents under other numbers"),
        ];
        for (shown, server, expected, case) in table {
            assert_eq!(is_other(&known, shown, &agents("ours", &known), &listed(server, shown)), expected, "{case}");
        }
    }

    #[test]
    fn without_agents_the_names_decide() {
        let known = clients(&[("1", "Acme"), ("2", "Globex"), ("3", "Initech")]);
        let renamed = clients(&[("1", "Acme"), ("2", "Globex GmbH"), ("3", "Initech")]);
        let others = clients(&[("1", "Alpha"), ("2", "Beta"), ("3", "Gamma")]);
        for (shown, expected) in [(&known, false), (&renamed, false), (&others, true)] {
            assert_eq!(is_other(&known, shown, &BTreeMap::new(), &listed("any", shown)), expected, "none is known");
            assert_eq!(is_other(&known, shown, &agents("ours", &known), &Listed::new()), expected, "none is listed");
        }
    }

    #[test]
    fn a_renamed_number_whose_agents_are_elsewhere_is_another_server() {
        let known = clients(&[("1", "Acme"), ("2", "Globex")]);
        let shown = clients(&[("1", "Umbrella"), ("2", "Globex")]);
        let mut moved = listed("ours", &clients(&[("2", "Globex")]));
        moved.extend(listed("ours", &clients(&[("1", "Acme Ltd")])));
        assert!(is_other(&known, &shown, &agents("ours", &known), &moved));
        // agents that a person moved to another client of the same server
        let mut left = listed("ours", &clients(&[("1", "Umbrella")]));
        left.extend(listed("ours", &clients(&[("2", "Umbrella")])));
        assert!(!is_other(&known, &shown, &agents("ours", &known), &left));
    }
}
