//! What a proxy can do to the bytes of its connections.

use std::time::Duration;

/// What the proxy does to the bytes of its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    /// New connections are accepted and closed at once.
    pub refuse: bool,
    /// Nothing reaches the server.
    pub hold_to_server: bool,
    /// Nothing reaches the client.
    pub hold_to_client: bool,
    /// An end is not passed on: each side believes that the other one is there.
    pub swallow_ends: bool,
    /// Each piece of data is held this long, in both directions.
    pub latency: Duration,
    /// And up to this much longer, drawn from the proxy's seed.
    pub jitter: Duration,
    /// Each direction carries at most so many bytes in a second.
    pub bytes_per_s: Option<u64>,
    /// The connection is cut once it has carried this many bytes to the server in all.
    pub cut_after_bytes: Option<u64>,
    /// The connection is cut once it has carried this many bytes to the client in all.
    pub cut_after_bytes_to_client: Option<u64>,
}

impl Fault {
    /// None: everything passes.
    pub const NONE: Self = Self {
        refuse: false,
        hold_to_server: false,
        hold_to_client: false,
        swallow_ends: false,
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        bytes_per_s: None,
        cut_after_bytes: None,
        cut_after_bytes_to_client: None,
    };
    /// Nothing passes in either direction.
    pub const BLACK_HOLE: Self = Self { hold_to_server: true, hold_to_client: true, ..Self::NONE };
    /// As where a router has forgotten the connection: nothing comes back, not even an end, and what is sent seems to arrive.
    pub const HALF_OPEN: Self = Self { hold_to_client: true, swallow_ends: true, ..Self::NONE };
    /// No new connection.
    pub const REFUSE: Self = Self { refuse: true, ..Self::NONE };
}
