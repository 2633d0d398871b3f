//! Whether the server behind a connection is still the one that the mappings were made for. Pure.
//!
//! Tactical numbers clients from 1 on every server, so that behind a changed URL, or after a server was replaced, number 7
//! may be another customer: its devices would be imported to the wrong one. The numbers with their names are compared
//! first. Where they differ the agents decide, because their ids are random and survive everything but a reinstallation: a
//! client that was renamed still has its agents.

use std::collections::{BTreeMap, HashSet};

/// Clients by number, with their names.
pub type Clients = BTreeMap<String, String>;

/// Whether any known client has another name, or is gone; new clients are no difference.
#[must_use]
pub fn differs(known: &Clients, shown: &Clients) -> bool {
    known.iter().any(|(id, name)| shown.get(id) != Some(name))
}

/// Whether another server is there. Asked only where [`differs`] says so, or the URL is not the confirmed one.
///
/// A key that sees less than before shows a part of the known agents and is no other server, so the smaller of both sides
/// counts. Where one side has no agents the names decide. Names that changed places are another server in any case: one
/// that was set up anew and that the agents were moved to.
#[must_use]
pub fn is_other(known: &Clients, shown: &Clients, known_agents: &HashSet<String>, agents: &HashSet<String>) -> bool {
    if changed_places(known, shown) {
        return true;
    }
    let smaller = known_agents.len().min(agents.len());
    if smaller > 0 {
        let common = known_agents.intersection(agents).count();
        return common * 2 < smaller;
    }
    let both = known.iter().filter_map(|(id, name)| Some((name, shown.get(id)?)));
    let (same, renamed): (Vec<_>, Vec<_>) = both.partition(|(before, now)| before == now);
    same.len() < renamed.len()
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

    fn agents(ids: std::ops::Range<u32>) -> HashSet<String> {
        ids.map(|id| id.to_string()).collect()
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
        let others = clients(&[("1", "Alpha"), ("2", "Beta"), ("3", "Gamma")]);
        let moved = clients(&[("1", "Globex"), ("2", "Acme"), ("3", "Initech")]);
        let fewer = clients(&[("1", "Acme")]);
        let remade = clients(&[("1", "Acme"), ("3", "Initech"), ("9", "Globex")]);
        // what is shown, the agents known and listed, whether it is another server, and the case
        let table = [
            (&renamed, 0..100, 0..100, false, "a rename"),
            (&renamed, 0..100, 60..70, false, "a rename and a key that sees less"),
            (&known, 0..100, 0..100, false, "another URL of the same server"),
            (&known, 0..100, 500..600, true, "another server with the same names"),
            (&others, 0..100, 500..600, true, "another server"),
            (&others, 0..100, 0..100, false, "every client was renamed"),
            (&moved, 0..100, 0..100, true, "the same agents on a server whose clients have other numbers"),
            (&fewer, 0..100, 0..30, false, "a key that sees one client"),
            (&remade, 0..100, 0..90, false, "a client that was deleted and made again"),
            (&renamed, 0..0, 0..100, false, "a rename while no agent is known"),
            (&others, 0..0, 0..100, true, "other names while no agent is known"),
            (&others, 0..100, 0..0, true, "other names and no agents"),
            (&known, 0..100, 0..0, false, "the same names and no agents"),
            (&known, 0..100, 90..190, true, "a tenth of the agents is not enough"),
        ];
        for (shown, known_agents, listed, expected, case) in table {
            assert_eq!(is_other(&known, shown, &agents(known_agents), &agents(listed)), expected, "{case}");
        }
    }
}
