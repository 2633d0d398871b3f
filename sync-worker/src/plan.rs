//! Which parts a run over all devices has. Pure.

use std::collections::BTreeMap;

use store::device::DeviceType;
use store::run::{NewPart, Scope};
use tactical::Organization;

/// Devices of one part. Tactical answers 10,000 of them in 14 s (measured), and a part has 30 s with all that it writes.
pub const PART_DEVICES_MAX: i64 = 5_000;
/// The same for the beta list, whose devices are a hundred times as large: 105 to 154 KB each.
pub const BETA_PART_DEVICES_MAX: i64 = 500;

/// Why a client cannot be read that the list of clients lacks: it was deleted, or the role sees it no more.
const NOT_SHOWN: &str = "Tactical does not show this client (any more); its devices stay as they are, save those that it \
    says do not exist";

/// The parts of the organisations that are to be read (Tactical's numbers, with their names), out of what the server shows
/// now; of more than `devices_max` devices it is read in several. One that the server does not show has a part that fails: no
/// list says anything about its devices.
#[must_use]
pub fn parts(wanted: &BTreeMap<String, String>, shown: &[Organization], devices_max: i64) -> Vec<NewPart> {
    let shown: BTreeMap<String, &Organization> =
        shown.iter().map(|organization| (organization.id.to_string(), organization)).collect();
    let parts = wanted.iter().map(|(id, name)| match shown.get(id) {
        Some(organization) => parts_of(organization, devices_max),
        None => {
            let (scope, fails) = (Scope::Client(id.clone()), Some(NOT_SHOWN.to_owned()));
            vec![NewPart { scope, label: name.clone(), expected: None, fails }]
        }
    });
    parts.flatten().collect()
}

/// One part, or one for each site, or two for a site: by how many devices there are.
fn parts_of(organization: &Organization, devices_max: i64) -> Vec<NewPart> {
    let expected = expected(organization);
    if expected.is_none_or(|count| count <= devices_max) || organization.sites.is_empty() {
        let scope = Scope::Client(organization.id.to_string());
        let label = organization.name.clone();
        return vec![NewPart { scope, label, expected: expected.map(bounded), fails: None }];
    }
    let mut parts = Vec::new();
    for site in &organization.sites {
        let label = format!("{}, {}", organization.name, site.name);
        let id = site.id.to_string();
        if site.agent_count.is_none_or(|count| count <= devices_max) {
            let (scope, expected) = (Scope::Site(id, None), site.agent_count.map(bounded));
            parts.push(NewPart { scope, label, expected, fails: None });
            continue;
        }
        for (kind, word) in [(DeviceType::Server, "servers"), (DeviceType::Workstation, "workstations")] {
            let scope = Scope::Site(id.clone(), Some(kind));
            // how many of each there are Tactical does not tell
            parts.push(NewPart { scope, label: format!("{label}, {word}"), expected: None, fails: None });
        }
    }
    parts
}

/// How many devices the server will list: the sum of the sites that it shows, since a client's own count holds those of
/// hidden sites too.
fn expected(organization: &Organization) -> Option<i64> {
    if organization.sites.is_empty() {
        return organization.agent_count;
    }
    organization.sites.iter().map(|site| site.agent_count).sum()
}

fn bounded(count: i64) -> i32 {
    i32::try_from(count.max(0)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use tactical::Site;

    use super::*;

    fn organization(id: i64, sites: &[i64]) -> Organization {
        let sites = sites.iter().enumerate();
        Organization {
            id,
            name: format!("Client {id}"),
            agent_count: None,
            sites: sites
                .map(|(place, count)| Site {
                    id: id * 10 + place as i64,
                    name: format!("Site {place}"),
                    client: Some(id),
                    agent_count: Some(*count),
                })
                .collect(),
        }
    }

    fn wanted(ids: &[i64]) -> BTreeMap<String, String> {
        ids.iter().map(|id| (id.to_string(), format!("Mapped {id}"))).collect()
    }

    fn names(parts: &[NewPart]) -> Vec<(String, Option<i32>)> {
        parts.iter().map(|part| (part.scope.to_string(), part.expected)).collect()
    }

    #[test]
    fn a_large_client_is_read_by_site_and_a_large_site_by_type() {
        let wanted = wanted(&[1, 2, 3, 9]);
        let shown = [
            organization(1, &[2_000, 3_000]),
            organization(2, &[2_000, 3_001]),
            organization(3, &[10, 5_001]),
            organization(4, &[7]),
        ];
        let parts = parts(&wanted, &shown, PART_DEVICES_MAX);
        assert_eq!(
            names(&parts),
            [
                ("client:1".to_owned(), Some(5_000)),
                ("site:20".to_owned(), Some(2_000)),
                ("site:21".to_owned(), Some(3_001)),
                ("site:30".to_owned(), Some(10)),
                ("site:31:server".to_owned(), None),
                ("site:31:workstation".to_owned(), None),
                ("client:9".to_owned(), None),
            ],
            "4 is not wanted"
        );
        let (last, others) = parts.split_last().expect("there are parts");
        assert_eq!((&*last.label, last.fails.as_deref()), ("Mapped 9", Some(NOT_SHOWN)), "9 is not shown");
        assert!(others.iter().all(|part| part.fails.is_none()));
        assert_eq!(parts[4].label, "Client 3, Site 1, servers");
    }

    #[test]
    fn a_client_without_counts_is_one_part() {
        let wanted = wanted(&[1]);
        let mut shown = organization(1, &[9_000]);
        shown.sites[0].agent_count = None;
        assert_eq!(names(&parts(&wanted, &[shown], PART_DEVICES_MAX)), [("client:1".to_owned(), None)]);
        let bare = Organization { sites: Vec::new(), agent_count: Some(12), ..organization(1, &[]) };
        let beta = parts(&wanted, &[organization(1, &[300, 201])], BETA_PART_DEVICES_MAX);
        assert_eq!(names(&beta), [("site:10".to_owned(), Some(300)), ("site:11".to_owned(), Some(201))]);
        assert_eq!(names(&parts(&wanted, &[bare], PART_DEVICES_MAX)), [("client:1".to_owned(), Some(12))]);
    }
}
