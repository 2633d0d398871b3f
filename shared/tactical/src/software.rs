//! Installed software, as the server has it from the agents' last reports. Windows only.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::agent::agent_place;
use crate::ask::Ask;
use crate::lenient;
use crate::{Client, Error, Stream};

/// An answer about one agent takes some 20 ms. Whoever asks for one after the other goes on to the next.
const ONE_TIME_MAX: Duration = Duration::from_secs(5);

/// One agent's list; exact duplicates in it are normal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentSoftware {
    /// Primary key of the agent: the brief list maps it to the text id.
    pub agent: i64,
    /// What it reported; empty also where its report failed. `None`: the answer has no list of programs, and says nothing.
    #[serde(default, deserialize_with = "lenient::list_of_objects")]
    pub software: Option<Vec<Program>>,
}

/// One program, in the words of its installer. Very old agents have name and version only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Its version.
    #[serde(deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "lenient::text")]
    pub publisher: Option<String>,
    /// `2024-6-01`, `01-1-01` (unknown), `2019-06-09 00:00:00 +0000 UTC`.
    #[serde(deserialize_with = "lenient::text")]
    pub install_date: Option<String>,
    /// As text with its unit.
    #[serde(deserialize_with = "lenient::text")]
    pub size: Option<String>,
    /// Where it was installed from.
    #[serde(deserialize_with = "lenient::text")]
    pub source: Option<String>,
    /// Where it lies.
    #[serde(deserialize_with = "lenient::text")]
    pub location: Option<String>,
    /// How it is removed.
    #[serde(deserialize_with = "lenient::text")]
    pub uninstall: Option<String>,
}

/// An object, or `[]` where the agent never reported.
struct Report(Option<AgentSoftware>);

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Array(items) if items.is_empty() => Ok(Self(None)),
            value => serde_json::from_value(value).map(|report| Self(Some(report))).map_err(serde::de::Error::custom),
        }
    }
}

impl Client {
    /// `GET /software/`: every agent that reported, in one list of 60 KB an agent. Needs `can_list_software`.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no answer; the stream has its own.
    pub async fn software(&self) -> Result<Stream<AgentSoftware>, Error> {
        self.stream(Ask::get("/software/", &[])).await
    }

    /// `GET /software/<agent_id>/`; `None` where the agent never reported.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the agent is gone; [`Error::Timeout`] after 5 s, whatever is configured beyond that.
    pub async fn software_of(&self, agent_id: &str) -> Result<Option<AgentSoftware>, Error> {
        const ENDPOINT: &str = "/software/{agent}/";
        let ask = Ask::get(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?]).within(ONE_TIME_MAX);
        let Report(report) = self.object(ask).await?;
        Ok(report)
    }
}
