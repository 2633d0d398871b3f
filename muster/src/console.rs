//! A client of the console's API: where it is, who asks, and every failure as one line that says what to do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::secret::read_file;

/// Where everything about the connection to Tactical stands.
pub(crate) const INTEGRATION: &str = "/integrations/tacticalrmm";
/// A little more than what the console takes for a request at most, unless its operator says otherwise (300 s): its own
/// answer says more than that there was none.
const TIMEOUT: Duration = Duration::from_secs(320);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that is no problem document is shown up to here.
const SHOWN_CHARS_MAX: usize = 200;

/// Where the console is, who asks, and for which tenant.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Console")]
pub(crate) struct Flags {
    #[command(flatten)]
    access: Access,
    /// The tenant's id
    #[arg(long, env = "MUSTER_TENANT")]
    tenant: Uuid,
}

/// Where the console is, who asks, and for one tenant or all that the token is for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Console")]
pub(crate) struct FleetFlags {
    #[command(flatten)]
    access: Access,
    /// Only this tenant; without one all that the token is for
    #[arg(long, env = "MUSTER_TENANT")]
    tenant: Option<Uuid>,
    /// All tenants that the token is for, whatever MUSTER_TENANT says
    #[arg(long)]
    all_tenants: bool,
}

/// Where the console is and who asks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Console")]
struct Access {
    /// The console, e.g. `https://muster.example.com`
    #[arg(long, env = "MUSTER_CONSOLE_URL")]
    console_url: Url,
    /// File with the token for the console's API; or set MUSTER_TOKEN. `muster token add` makes one
    #[arg(long, env = "MUSTER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print the API's answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks the console.
#[derive(Debug)]
pub(crate) struct Console {
    http: reqwest::Client,
    url: Url,
    token: SecretString,
    /// What every path begins with: a tenant's, or the API's own.
    base: String,
    /// Whether the answer is printed as it is.
    pub(crate) json: bool,
}

/// What the console refused, as it said it (RFC 9457).
#[derive(Debug)]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The problem's own members, for whoever must tell refusals apart.
    pub(crate) problem: Value,
}

/// Rows of a page; the console's own most.
const PAGE_ROWS: usize = 500;

impl Flags {
    /// A client for what stands below the tenant, which has checked nothing yet but what was given.
    ///
    /// # Errors
    /// There is no token, or it is none.
    pub(crate) fn open(self) -> anyhow::Result<Console> {
        let base = format!("/api/v1/tenants/{}", self.tenant);
        self.access.open(base)
    }
}

impl FleetFlags {
    /// The tenant that is meant, if one is, and a client for what stands below no tenant.
    ///
    /// # Errors
    /// As [`Flags::open`].
    pub(crate) fn open(self) -> anyhow::Result<(Option<Uuid>, Console)> {
        let tenant = self.tenant.filter(|_| !self.all_tenants);
        Ok((tenant, self.access.open("/api/v1".to_owned())?))
    }
}

impl Console {
    /// A client for what is of no tenant.
    ///
    /// # Errors
    /// As [`Flags::open`].
    pub(crate) fn of_all_tenants(console_url: Url, token_file: Option<PathBuf>, json: bool) -> anyhow::Result<Self> {
        Access { console_url, token_file, json }.open("/api/v1".to_owned())
    }
}

impl Access {
    fn open(self, base: String) -> anyhow::Result<Console> {
        let token = match (std::env::var("MUSTER_TOKEN"), &self.token_file) {
            (_, Some(path)) => read_file(path, "the token")?,
            (Ok(token), None) => SecretString::from(token.trim()),
            (Err(_), None) => {
                bail!("no token: set MUSTER_TOKEN or --token-file; `muster token add` makes one")
            }
        };
        let good =
            !token.expose_secret().is_empty() && token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(good, "the token (MUSTER_TOKEN, --token-file) is empty or holds what no token holds");
        // a token is for the console alone: neither a proxy nor a redirect may carry it elsewhere
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("set an HTTP client up")?;
        Ok(Console { http, url: self.console_url, token, base, json: self.json })
    }
}

impl Console {
    /// `GET` of a path below the client's own: `/assets`, `/integrations/tacticalrmm`.
    ///
    /// # Errors
    /// As [`Console::send`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(Method::GET, path, None::<&()>).await
    }

    /// The rows of a paged list, `rows_max` at most; `name` is the answer's member that holds them.
    ///
    /// # Errors
    /// As [`Console::send`].
    pub(crate) async fn pages(
        &self,
        path: &str,
        name: &str,
        filters: &[(&str, Option<String>)],
        rows_max: u32,
    ) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut cursor, rows_max) = (Vec::new(), None::<String>, rows_max as usize);
        loop {
            let page_rows = PAGE_ROWS.min(rows_max - rows.len()).to_string();
            let paging = [("limit", Some(page_rows)), ("cursor", cursor.take())];
            let pairs = filters.iter().chain(&paging).filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let mut page: Value = self.get(&format!("{path}?{query}")).await?;
            if let Some(page) = page[name].as_array_mut() {
                rows.append(page);
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || rows.len() >= rows_max {
                return Ok(rows);
            }
        }
    }

    /// `POST`, with a body or none.
    ///
    /// # Errors
    /// As [`Console::send`].
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Any request; `path` may hold a query.
    ///
    /// # Errors
    /// The console cannot be reached; [`Refused`]; it answered something that is not its own API's.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let base = self.url.as_str().trim_end_matches('/');
        let url = format!("{base}{}{path}", self.base);
        let mut request = self.http.request(method, &url).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(error))?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        // 204 and an empty 202 are answers too
        let text = if text.trim().is_empty() { "null" } else { &text };
        serde_json::from_str(text).with_context(|| {
            format!("the answer of {base} is not the console's ({}): check --console-url", shown(text))
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let why = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        anyhow::Error::new(error.without_url())
            .context(format!("the console at {} {why}: check --console-url (MUSTER_CONSOLE_URL)", self.url))
    }

    fn refusal(&self, status: StatusCode, text: &str) -> anyhow::Error {
        match serde_json::from_str::<Value>(text) {
            Ok(problem) if problem.is_object() => Refused { status, problem }.into(),
            _ => anyhow::anyhow!(
                "{} answered {status}, which is not the console's ({}): check --console-url",
                self.url,
                shown(text)
            ),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member =
            |name: &str| self.problem.get(name).and_then(Value::as_str).map(one_line).filter(|text| !text.is_empty());
        let said = member("detail").or_else(|| member("title")).unwrap_or_else(|| "refused".to_owned());
        f.write_str(&said)?;
        if let Some(remedy) = member("remedy").filter(|remedy| !said.contains(remedy.as_str())) {
            write!(f, " {remedy}")?;
        }
        write!(f, " ({})", self.status.as_u16())
    }
}

impl std::error::Error for Refused {}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shown(text: &str) -> String {
    one_line(&text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(problem: Value) -> String {
        Refused { status: StatusCode::FORBIDDEN, problem }.to_string()
    }

    #[test]
    fn a_problem_is_one_line_with_what_to_do() {
        let problem =
            json!({"title": "Forbidden", "detail": "The token lacks\n asset:read.", "remedy": "Ask for one."});
        assert_eq!(said(problem), "The token lacks asset:read. Ask for one. (403)");
        assert_eq!(said(json!({"title": "Forbidden"})), "Forbidden (403)");
        assert_eq!(said(json!({})), "refused (403)");
    }
}
