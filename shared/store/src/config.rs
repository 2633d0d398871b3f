//! The database flags that every binary shares, with their environment variables, defaults and limits.

use std::convert::Infallible;

use secrecy::SecretString;

/// The flags of this crate; `#[command(flatten)]` them into a binary's own.
///
/// `Debug` shows the limits and never the URL, which may hold a password.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Database")]
pub struct Config {
    /// URL of the PostgreSQL database, e.g. `postgres://muster@127.0.0.1/muster`; may hold a password, so prefer the variable
    // taken as it is and understood by `Store::lazy`: a refused value would be printed by the flag parser
    #[arg(long, env = "MUSTER_DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub database_url: SecretString,

    /// Connections that this process holds at most
    #[arg(long = "database-connections-max", env = "MUSTER_DATABASE_CONNECTIONS_MAX", default_value_t = CONNECTIONS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections_max: u32,

    /// Longest wait for a connection, a new one included; beyond it the database counts as away
    #[arg(long = "database-acquire-timeout-ms", env = "MUSTER_DATABASE_ACQUIRE_TIMEOUT_MS",
          default_value_t = ACQUIRE_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub acquire_timeout_ms: u32,

    /// Longest run of one statement
    #[arg(long = "database-statement-timeout-ms", env = "MUSTER_DATABASE_STATEMENT_TIMEOUT_MS",
          default_value_t = STATEMENT_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    pub statement_timeout_ms: u32,

    /// Longest wait of a statement for a lock
    #[arg(long = "database-lock-timeout-ms", env = "MUSTER_DATABASE_LOCK_TIMEOUT_MS",
          default_value_t = LOCK_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub lock_timeout_ms: u32,

    /// Longest pause inside a transaction before the server ends it
    #[arg(long = "database-idle-in-transaction-timeout-ms", env = "MUSTER_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS",
          default_value_t = IDLE_IN_TRANSACTION_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    pub idle_in_transaction_timeout_ms: u32,

    /// Longest time that sent data may stay unacknowledged before the server drops the connection and its locks
    #[arg(long = "database-tcp-user-timeout-ms", env = "MUSTER_DATABASE_TCP_USER_TIMEOUT_MS",
          default_value_t = TCP_USER_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(0..=600_000))]
    pub tcp_user_timeout_ms: u32,
}

/// A worker needs one connection a batch in hand, one for the relay, one for the parker and one for the probes.
const CONNECTIONS_MAX: u32 = 10;
// The rest are the numbers of the design (pipeline §10).
const ACQUIRE_TIMEOUT_MS: u32 = 5_000;
const STATEMENT_TIMEOUT_MS: u32 = 15_000;
const LOCK_TIMEOUT_MS: u32 = 2_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS: u32 = 10_000;
const TCP_USER_TIMEOUT_MS: u32 = 10_000;

impl Config {
    /// The defaults over this URL; what tests and small tools use.
    #[must_use]
    pub fn for_url(url: &str) -> Self {
        Self {
            database_url: SecretString::from(url),
            connections_max: CONNECTIONS_MAX,
            acquire_timeout_ms: ACQUIRE_TIMEOUT_MS,
            statement_timeout_ms: STATEMENT_TIMEOUT_MS,
            lock_timeout_ms: LOCK_TIMEOUT_MS,
            idle_in_transaction_timeout_ms: IDLE_IN_TRANSACTION_TIMEOUT_MS,
            tcp_user_timeout_ms: TCP_USER_TIMEOUT_MS,
        }
    }
}

fn secret(value: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};
    use secrecy::ExposeSecret;

    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        database: Config,
    }

    const CANARY: &str = "postgres://muster:canary-7f3a@127.0.0.1/muster";

    #[test]
    fn the_url_is_neither_in_debug_nor_in_help() {
        let matches = Flags::command().get_matches_from(["x", "--database-url", CANARY]);
        let flags = Flags::from_arg_matches(&matches).expect("the flags are sound");
        assert_eq!(flags.database.database_url.expose_secret(), CANARY);
        assert!(!format!("{flags:?}").contains("canary"), "{flags:?}");
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("MUSTER_DATABASE_URL") && !help.contains("MUSTER_DATABASE_URL="), "{help}");
    }

    #[test]
    fn the_flags_defaults_are_those_of_for_url() {
        let flags = Flags::parse_from(["x", "--database-url", CANARY]);
        assert_eq!(format!("{:?}", flags.database), format!("{:?}", Config::for_url(CANARY)));
    }
}
