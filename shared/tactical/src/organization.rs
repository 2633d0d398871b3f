//! Clients and their sites, by the classic API.

use serde::Deserialize;

use crate::ask::{Ask, Holds};
use crate::lenient;
use crate::{Client, Error};

/// A client of the server: AlgaPSA's "organization".
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Organization {
    /// Primary key.
    pub id: i64,
    /// Unique on its server; may be renamed.
    #[serde(default, deserialize_with = "name")]
    pub name: String,
    /// Agents in it; the single object does not say.
    #[serde(default, deserialize_with = "lenient::int")]
    pub agent_count: Option<i64>,
    /// Its sites that the role sees.
    #[serde(default, deserialize_with = "lenient::objects")]
    pub sites: Vec<Site>,
}

/// A site of a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Site {
    /// Primary key.
    pub id: i64,
    /// Unique within its client.
    #[serde(default, deserialize_with = "name")]
    pub name: String,
    /// Primary key of its client.
    #[serde(default, deserialize_with = "lenient::int")]
    pub client: Option<i64>,
    /// Agents in it; only where the site stands in a list of clients.
    #[serde(default, deserialize_with = "lenient::int")]
    pub agent_count: Option<i64>,
}

/// A name that is missing is empty: the key is what counts.
fn name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(lenient::raw(deserializer)?.unwrap_or_default())
}

impl Client {
    /// `GET /clients/`: the clients that the role sees, with their sites. Needs `can_list_clients`.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no whole answer.
    pub async fn clients(&self) -> Result<Vec<Organization>, Error> {
        self.list(Ask::get("/clients/", &[]).holds(Holds::Clients)).await
    }

    /// `GET /clients/<id>/`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone.
    pub async fn organization(&self, id: i64) -> Result<Organization, Error> {
        self.object(Ask::get("/clients/{client}/", &[&id.to_string()]).holds(Holds::Clients)).await
    }

    /// `GET /clients/sites/`. Needs `can_list_sites`.
    ///
    /// # Errors
    /// As [`Client::clients`].
    pub async fn sites(&self) -> Result<Vec<Site>, Error> {
        self.list(Ask::get("/clients/sites/", &[])).await
    }
}
