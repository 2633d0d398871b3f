//! The clients and sites that the key sees, by number and by name. Pure.

use std::collections::HashMap;

use store::alert::OpenAlert;
use tactical::Organization;

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// A client's number by its name.
    numbers: HashMap<String, String>,
    /// The sites of each client, by its number: name and number.
    sites: HashMap<String, Vec<(String, String)>>,
}

impl Places {
    /// What the list of clients shows.
    #[must_use]
    pub fn of(shown: &[Organization]) -> Self {
        let mut places = Self::default();
        for client in shown {
            let sites = client.sites.iter().map(|site| (site.name.clone(), site.id.to_string()));
            places.sites.insert(client.id.to_string(), sites.collect());
            places.numbers.insert(client.name.clone(), client.id.to_string());
        }
        places
    }

    /// The numbers of a client and a site of these names, as far as they are shown.
    #[must_use]
    pub fn numbers(&self, client: Option<&str>, site: Option<&str>) -> (Option<String>, Option<String>) {
        let Some(number) = client.and_then(|name| self.numbers.get(name)) else { return (None, None) };
        let sites = self.sites.get(number);
        let found = sites.and_then(|sites| sites.iter().find(|(name, _)| Some(name.as_str()) == site));
        (Some(number.clone()), found.map(|(_, number)| number.clone()))
    }

    /// Whether the client and the site where an alert's agent was last seen are still shown.
    #[must_use]
    pub fn shows(&self, alert: &OpenAlert) -> bool {
        let sites = alert.client_id.as_ref().and_then(|client| self.sites.get(client));
        sites.is_some_and(|sites| {
            sites
                .iter()
                .any(|(name, number)| alert.site_id.as_ref() == Some(number) || alert.site_name.as_ref() == Some(name))
        })
    }
}

/// How many devices these clients are said to have, in the sites that are shown; `None` where that is not told.
#[must_use]
pub fn agents_expected(shown: &[Organization]) -> Option<usize> {
    let sites = shown.iter().flat_map(|client| &client.sites);
    let sum: Option<i64> = sites.map(|site| site.agent_count).sum();
    usize::try_from(sum?).ok()
}
