//! Organisation mappings: which client of ours each of Tactical's clients is, and whether its devices are imported.
//!
//! A person assigns them. What is not assigned, or switched off, imports nothing and loses nothing. Where another server
//! seems to stand behind the connection the mappings are held: its numbers would lead to other people's clients.

mod apply;
mod hold;
mod list;
mod name;
mod patch;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lock::Left;

pub use apply::{apply_clients, find_client};
pub use hold::{Decision, Held, HeldClient, Look, confirm, hold, look, recognise, renew_hold};
pub use list::{Mapping, Match, Proposal, list};
pub use patch::{Patch, Patched, patch, patch_all};

/// One of Tactical's clients, as its list tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organization {
    /// Tactical's number.
    pub id: i64,
    /// Cut to 255 characters.
    pub name: String,
    /// How many agents it has, where the list tells.
    pub agent_count: Option<i64>,
    /// Its sites.
    pub sites: Vec<Site>,
}

/// One of a client's sites.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Tactical's number.
    pub id: i64,
    /// Cut to 255 characters.
    pub name: String,
    /// How many agents it has, where the list tells.
    pub agent_count: Option<i64>,
}

/// What a list of clients has written, in clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// New, and assigned to nobody yet.
    pub created: usize,
    /// Of which name, number of agents or sites were written.
    pub updated: usize,
    /// Those of the updated that have another name.
    pub renamed: usize,
    /// As they were.
    pub unchanged: usize,
    /// Newly not listed any more; kept, and marked.
    pub vanished: usize,
}

/// What became of a list of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is written.
    Applied(Applied),
    /// The run was taken over, or the part begun anew: nothing was written, stop.
    Fenced,
    /// Nothing was written, for this reason.
    Left(Left),
}

/// A client of the tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `clients.client_id`.
    pub client_id: Uuid,
    /// `clients.client_name`.
    pub name: String,
}
