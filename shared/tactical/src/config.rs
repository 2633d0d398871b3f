//! The flags for talking to Tactical that the processes share, with their environment variables, defaults and limits.

use std::time::Duration;

use ipnet::IpNet;

/// The flags of this crate; `#[command(flatten)]` them into a binary's own.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Tactical")]
pub struct Config {
    /// Let tenants use http:// URLs: their API keys then travel in clear
    #[arg(
        long = "tactical-allow-http",
        env = "MUSTER_TACTICAL_ALLOW_HTTP",
        value_parser = clap::builder::BoolishValueParser::new(),
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        require_equals = true
    )]
    pub allow_http: bool,

    /// Networks that tenants' servers may be in although they are not public, e.g. `10.1.0.0/16,fd12::/48` (on-premises)
    // a metadata service must be named by its own address, see `guard`
    #[arg(long = "tactical-allow-networks", env = "MUSTER_TACTICAL_ALLOW_NETWORKS", value_delimiter = ',')]
    pub allow_networks: Vec<IpNet>,

    /// Longest wait for a connection: resolving, TCP and TLS
    #[arg(long = "tactical-connect-timeout-ms", env = "MUSTER_TACTICAL_CONNECT_TIMEOUT_MS",
          default_value_t = CONNECT_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub connect_timeout_ms: u64,

    /// Longest silence before and within an answer
    #[arg(long = "tactical-read-timeout-ms", env = "MUSTER_TACTICAL_READ_TIMEOUT_MS",
          default_value_t = READ_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(10..=300_000))]
    pub read_timeout_ms: u64,

    /// Longest time for one request, from connecting to the last byte of its answer
    #[arg(long = "tactical-total-timeout-ms", env = "MUSTER_TACTICAL_TOTAL_TIMEOUT_MS",
          default_value_t = TOTAL_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub total_timeout_ms: u64,

    /// Longest list that is streamed, in bytes; it is never held as a whole
    #[arg(long = "tactical-body-bytes-max", env = "MUSTER_TACTICAL_BODY_BYTES_MAX", default_value_t = BODY_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(1_024..))]
    pub body_bytes_max: u64,

    /// Longest list that is held as a whole, such as that of all clients, in bytes
    #[arg(long = "tactical-list-bytes-max", env = "MUSTER_TACTICAL_LIST_BYTES_MAX", default_value_t = LIST_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(1_024..))]
    pub list_bytes_max: u64,

    /// Longest page of the beta API, in bytes
    #[arg(long = "tactical-page-bytes-max", env = "MUSTER_TACTICAL_PAGE_BYTES_MAX", default_value_t = PAGE_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(1_024..))]
    pub page_bytes_max: u64,

    /// Longest answer that holds one object, in bytes
    #[arg(long = "tactical-small-body-bytes-max", env = "MUSTER_TACTICAL_SMALL_BODY_BYTES_MAX",
          default_value_t = SMALL_BODY_BYTES_MAX, value_parser = clap::value_parser!(u64).range(1_024..))]
    pub small_body_bytes_max: u64,

    /// Longest row of an agent in the lists of agents, in bytes
    #[arg(long = "tactical-agent-row-bytes-max", env = "MUSTER_TACTICAL_AGENT_ROW_BYTES_MAX",
          default_value_t = AGENT_ROW_BYTES_MAX, value_parser = clap::value_parser!(u64).range(1_024..))]
    pub agent_row_bytes_max: u64,

    /// Longest agent with all that is known of it, in bytes: one that is asked for alone, or stands in the beta list
    #[arg(long = "tactical-agent-bytes-max", env = "MUSTER_TACTICAL_AGENT_BYTES_MAX",
          default_value_t = AGENT_BYTES_MAX, value_parser = clap::value_parser!(u64).range(1_024..))]
    pub agent_bytes_max: u64,

    /// Longest client with all of its sites, in bytes
    #[arg(long = "tactical-client-bytes-max", env = "MUSTER_TACTICAL_CLIENT_BYTES_MAX",
          default_value_t = CLIENT_BYTES_MAX, value_parser = clap::value_parser!(u64).range(1_024..))]
    pub client_bytes_max: u64,

    /// Longest item of any other list, in bytes
    #[arg(long = "tactical-item-bytes-max", env = "MUSTER_TACTICAL_ITEM_BYTES_MAX", default_value_t = ITEM_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(1_024..))]
    pub item_bytes_max: u64,
}

/// A healthy server connects in milliseconds; beyond this it counts as away.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Tactical thinks for 14 s before the first byte of 10,000 agents; twice that.
const READ_TIMEOUT_MS: u64 = 30_000;
/// Just below the 300 s after which Tactical's own server gives a request up.
const TOTAL_TIMEOUT_MS: u64 = 280_000;
/// 100,000 agents are 130 MB, 10,000 Windows agents' software 600 MB (which is then read agent by agent).
const BODY_BYTES_MAX: u64 = 512 << 20;
/// All clients with their sites are 230 KB for 10,000 agents; 140 times that.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// A page is asked for 200 agents of 105 to 154 KB, some 31 MB; four times that.
const PAGE_BYTES_MAX: u64 = 128 << 20;
/// No object but an agent is as large as 168 KB.
const SMALL_BODY_BYTES_MAX: u64 = 8 << 20;
/// A row is 1.3 KB, and grows by the custom fields and the description that people fill; 200 times that.
const AGENT_ROW_BYTES_MAX: u64 = 256 << 10;
/// A full agent is 168 KB, one of the beta list 154 KB; 25 times that.
const AGENT_BYTES_MAX: u64 = 4 << 20;
/// A client is a few hundred bytes, and as many for each of its sites: some thousand sites.
const CLIENT_BYTES_MAX: u64 = 4 << 20;
/// An agent's software is about 60 KB, an alert the output of a script.
const ITEM_BYTES_MAX: u64 = 4 << 20;

impl Config {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    pub(crate) fn total_timeout(&self) -> Duration {
        Duration::from_millis(self.total_timeout_ms)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow_networks: Vec::new(),
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            read_timeout_ms: READ_TIMEOUT_MS,
            total_timeout_ms: TOTAL_TIMEOUT_MS,
            body_bytes_max: BODY_BYTES_MAX,
            list_bytes_max: LIST_BYTES_MAX,
            page_bytes_max: PAGE_BYTES_MAX,
            small_body_bytes_max: SMALL_BODY_BYTES_MAX,
            agent_row_bytes_max: AGENT_ROW_BYTES_MAX,
            agent_bytes_max: AGENT_BYTES_MAX,
            client_bytes_max: CLIENT_BYTES_MAX,
            item_bytes_max: ITEM_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        tactical: Config,
    }

    #[test]
    fn the_flags_defaults_are_those_of_default() {
        let flags = Flags::parse_from(["x"]);
        assert_eq!(format!("{:?}", flags.tactical), format!("{:?}", Config::default()));
    }

    #[test]
    fn networks_are_a_list_and_a_switch_needs_no_value() {
        let flags =
            Flags::parse_from(["x", "--tactical-allow-http", "--tactical-allow-networks", "10.0.0.0/8,fd00::/8"]);
        assert!(flags.tactical.allow_http);
        assert_eq!(flags.tactical.allow_networks.len(), 2);
        assert!(!Flags::parse_from(["x", "--tactical-allow-http=false"]).tactical.allow_http);
        assert!(Flags::try_parse_from(["x", "--tactical-allow-networks", "10.0.0.0/33"]).is_err());
    }
}
