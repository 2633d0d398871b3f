//! What `muster doctor` reads: the server, a session on it, the roles, and what stands still in the tables. It changes
//! nothing.

mod integration;
mod role;
mod server;
mod session;
mod waiting;

pub use integration::{Ailing, Integrations, integrations};
pub use role::{GATEWAY, GATEWAY_RIGHTS, Needs, Right, Role, Users, needs, role, users};
pub use server::{Server, server};
pub use session::{Session, session};
pub use waiting::{LateSchedule, Outbox, ParkedCount, SlowSchedule, late, outbox, parked, slow};

/// Rows that are named one by one; how many more there are is counted.
pub const ROWS_MAX: i64 = 5;
