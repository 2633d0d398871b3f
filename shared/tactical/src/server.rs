//! The server itself: whether it answers, and which version it is.

use serde::Deserialize;
use serde_json::Value;

use crate::ask::Ask;
use crate::lenient;
use crate::{Client, Error};

/// What `/core/dashinfo/` says, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DashInfo {
    /// The server's version, such as `1.5.1`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub trmm_version: Option<String>,
}

/// `{"status": "ok"}`
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    status: Value,
}

impl Client {
    /// `GET /`: whether a Tactical API answers here; needs no credential.
    ///
    /// # Errors
    /// [`Error::WrongHost`] where a page answers, [`Error::Unreadable`] where something else does.
    pub async fn health(&self) -> Result<(), Error> {
        const ENDPOINT: &str = "/";
        let health: Health = self.object(Ask::get(ENDPOINT, &[])).await?;
        if health.status == "ok" {
            return Ok(());
        }
        Err(Error::Unreadable { endpoint: ENDPOINT, reason: "its status is not ok".to_owned() })
    }

    /// `GET /core/dashinfo/`: the server's version, for any valid user: it proves no permission. Each call makes the
    /// server fetch a page from GitHub, up to 5 s.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no answer.
    pub async fn version(&self) -> Result<DashInfo, Error> {
        self.object(Ask::get("/core/dashinfo/", &[])).await
    }

    /// `GET /core/version/`: the dashboard's build, not the server's version; quick, for any valid user.
    ///
    /// # Errors
    /// As [`Client::version`].
    pub async fn frontend_version(&self) -> Result<String, Error> {
        self.object(Ask::get("/core/version/", &[])).await
    }
}
