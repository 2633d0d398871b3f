//! How much the spool may hold, and how much it must leave to others.

/// Flags and variables of the spool.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Spool")]
pub struct Config {
    /// Bytes of records that the spool may hold; a webhook takes about 1 KB, so this is an hour of 1,000 a second
    #[arg(long, env = "MUSTER_SPOOL_BYTES_MAX", default_value_t = Limits::BYTES_MAX)]
    pub spool_bytes_max: u64,
    /// Bytes that the spool leaves free on its disk; below it nothing is spooled
    #[arg(long, env = "MUSTER_SPOOL_FREE_BYTES_MIN", default_value_t = Limits::FREE_BYTES_MIN)]
    pub spool_free_bytes_min: u64,
}

/// The limits of one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of records, those that were set aside included.
    pub bytes_max: u64,
    /// Bytes left free on the disk.
    pub free_bytes_min: u64,
}

impl Limits {
    /// 4 GiB: an hour at 1,000 webhooks a second.
    pub const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
    /// 1 GiB: beside the records the store needs their pages, its log, and room for a second copy while a damaged one is emptied.
    pub const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: Self::BYTES_MAX, free_bytes_min: Self::FREE_BYTES_MIN }
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self { bytes_max: config.spool_bytes_max, free_bytes_min: config.spool_free_bytes_min }
    }
}
