//! The only crate that speaks to Tactical RMM: guarded URLs, few requests at once, streamed lists, typed answers.
//!
//! ```no_run
//! # async fn example(key: secrecy::SecretString) -> Result<(), tactical::Error> {
//! use tactical::{AgentFilter, Client, Config, Credential, Gate};
//!
//! // one gate per integration and process: it holds the limits, the breaker and the connections
//! let gate = Gate::new();
//! let client = Client::new(&Config::default(), "https://api.example.com", Some(Credential::ApiKey(key)), gate)?;
//! let mut agents = client.agents(&AgentFilter { client: Some(7), ..AgentFilter::default() }).await?;
//! while let Some(agent) = agents.next().await {
//!     println!("{:?}", agent?.hostname);
//! }
//! # Ok(()) }
//! ```
//!
//! Invariants:
//! * No request leaves for an address that is not public, unless the operator's networks contain it ([`guard`]); redirects
//!   are never followed and no proxy is used.
//! * A list that broke off is an error, never a shorter list ([`Stream`]).
//! * Every limit has a flag ([`Config`]); nothing is retried here: what an [`Error`] means is its class, and the job's.
//! * No error, span or metric holds a key, a password or a token.

mod action;
mod agent;
mod alert;
mod ask;
mod beta;
mod body;
mod client;
mod config;
mod credential;
mod error;
mod gate;
pub mod guard;
mod lenient;
#[cfg(test)]
mod limit_tests;
mod organization;
mod page;
mod refusal;
mod remedy;
mod resolver;
mod server;
mod session;
mod software;
mod source;
mod stream;
#[cfg(test)]
mod testing;
mod wmi;
mod word;

pub use action::{Command, HistoryEntry, MeshLinks, Script, ScriptResult, ScriptRun};
pub use agent::{AgentDetail, AgentFilter, AgentRow, BriefAgent, Checks, CustomField, Disk, TemplateName};
pub use alert::{Alert, AlertChange, AlertFilter, AlertTemplate, TopAlerts, UrlAction};
pub use beta::{BetaAgent, BetaDetail, BetaPage, PAGE_SIZE_MAX};
pub use client::Client;
pub use config::Config;
pub use credential::Credential;
pub use error::{AuthFault, Error, Wait};
pub use gate::Gate;
pub use guard::UrlError;
pub use organization::{Organization, Site};
pub use page::Page;
pub use server::DashInfo;
pub use session::{Checked, Session};
pub use software::{AgentSoftware, Program};
pub use stream::Stream;
pub use word::{Monitoring, Platform, Status};
