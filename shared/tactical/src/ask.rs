//! One request as data: its route with the places filled in, which never lacks the slash at its end.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use crate::gate::Lane;

/// What an answer holds one or many of, as far as that has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Rows of the classic lists of agents.
    AgentRows,
    /// Agents with all that is known of them.
    Agents,
    /// Clients with their sites.
    Clients,
    Others,
}

/// A request; `endpoint` is its route with places, such as `/agents/{agent}/`, and names it in metrics and errors.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) endpoint: &'static str,
    places: Vec<String>,
    query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) lane: Lane,
    pub(crate) holds: Holds,
    /// Beside the configured wait for a byte: what the server does for so long before it answers.
    pub(crate) thinks: Duration,
    /// Longest time for the whole request, where that is less than the configured one.
    pub(crate) time_max: Option<Duration>,
}

impl Ask {
    /// `places` fill the endpoint's `{…}` in order.
    pub(crate) fn new(method: Method, endpoint: &'static str, places: &[&str]) -> Self {
        Self {
            method,
            endpoint,
            places: places.iter().map(|&place| place.to_owned()).collect(),
            query: Vec::new(),
            body: None,
            lane: Lane::Api,
            holds: Holds::Others,
            thinks: Duration::ZERO,
            time_max: None,
        }
    }

    pub(crate) fn get(endpoint: &'static str, places: &[&str]) -> Self {
        Self::new(Method::GET, endpoint, places)
    }

    pub(crate) fn post(endpoint: &'static str, places: &[&str], body: Value) -> Self {
        Self::new(Method::POST, endpoint, places).body(body)
    }

    pub(crate) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn login(self) -> Self {
        Self { lane: Lane::Login, ..self }
    }

    pub(crate) fn holds(self, holds: Holds) -> Self {
        Self { holds, ..self }
    }

    pub(crate) fn thinks(self, thinks: Duration) -> Self {
        Self { thinks, ..self }
    }

    /// At most so long, and as long before that for a place at the gate.
    pub(crate) fn within(self, time_max: Duration) -> Self {
        Self { time_max: Some(time_max), ..self }
    }

    /// The whole URL below an origin.
    pub(crate) fn url(&self, origin: &Url) -> Url {
        let mut url = origin.clone();
        let mut places = self.places.iter();
        {
            let mut path = url.path_segments_mut().expect("http and https URLs have a path");
            path.clear();
            for segment in self.endpoint.split('/').filter(|segment| !segment.is_empty()) {
                let is_place = segment.starts_with('{');
                path.push(if is_place { places.next().map_or("", String::as_str) } else { segment });
            }
            // Tactical answers a path without its last slash with a redirect, which is not followed
            path.push("");
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(ask: &Ask) -> String {
        ask.url(&"https://api.example.com/".parse().expect("a URL")).into()
    }

    #[test]
    fn every_path_ends_with_a_slash() {
        assert_eq!(url(&Ask::get("/", &[])), "https://api.example.com/");
        assert_eq!(url(&Ask::get("/agents/", &[])), "https://api.example.com/agents/");
        assert_eq!(url(&Ask::get("/agents/{agent}/history/", &["Abc"])), "https://api.example.com/agents/Abc/history/");
        let ask = Ask::get("/agents/", &[]).query("client", Some(7)).query("site", None::<i64>);
        assert_eq!(url(&ask), "https://api.example.com/agents/?client=7");
    }

    #[test]
    fn a_place_stays_one_segment() {
        assert_eq!(url(&Ask::get("/agents/{agent}/", &["a/b?c#d"])), "https://api.example.com/agents/a%2Fb%3Fc%23d/");
    }
}
