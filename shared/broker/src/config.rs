//! Where the broker is, and the limits of everything that waits for it.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use contract::topology::Ladder;
use lapin::uri::{AMQPScheme, AMQPUri};

/// Flags and variables of every process that speaks AMQP.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Broker")]
pub struct Config {
    /// The broker, with user, password and vhost: amqp://user:password@host:5672/vhost (a vhost `/` is written %2f)
    #[arg(long = "amqp-url", env = "MUSTER_AMQP_URL", hide_env_values = true)]
    pub amqp_url: AmqpUrl,
    /// How long a connection attempt may take, handshake included
    #[arg(long, env = "MUSTER_AMQP_CONNECT_TIMEOUT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub amqp_connect_timeout_ms: u64,
    /// How long the broker may take to answer one request
    #[arg(long, env = "MUSTER_AMQP_REQUEST_TIMEOUT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub amqp_request_timeout_ms: u64,
    /// How long a publish may wait for its confirm
    #[arg(long, env = "MUSTER_AMQP_CONFIRM_TIMEOUT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub amqp_confirm_timeout_ms: u64,
    /// How many publishes may wait for their confirm at once; 512 gave the most per second on a small machine
    #[arg(long, env = "MUSTER_AMQP_CONFIRM_WINDOW", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub amqp_confirm_window: u16,
    /// How long after declaring a new queue the process waits before it uses it: a quorum queue of RabbitMQ 3.10 is not
    /// crash-safe in its first second
    #[arg(long, env = "MUSTER_AMQP_SETTLE_MS", default_value_t = 1_000)]
    pub amqp_settle_ms: u64,
    /// How long a finished message behind an unfinished one waits to be acknowledged together with it
    #[arg(long, env = "MUSTER_AMQP_HOLE_MS", default_value_t = 200)]
    pub amqp_hole_ms: u64,
    /// The shortest delay of the retry ladder; the others are 5, 30, 120, 600, 1800 and 3600 times as long
    #[arg(long, env = "MUSTER_RETRY_BASE_MS", default_value_t = Ladder::BASE_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub retry_base_ms: u64,
}

impl Config {
    /// The defaults, for a given broker.
    #[must_use]
    pub fn for_url(amqp_url: AmqpUrl) -> Self {
        Self {
            amqp_url,
            amqp_connect_timeout_ms: 5_000,
            amqp_request_timeout_ms: 5_000,
            amqp_confirm_timeout_ms: 5_000,
            amqp_confirm_window: 512,
            amqp_settle_ms: 1_000,
            amqp_hole_ms: 200,
            retry_base_ms: Ladder::BASE_MS_DEFAULT,
        }
    }

    /// Whether the broker's address can be read; what is wrong with it otherwise, without its password.
    ///
    /// # Errors
    /// One line that names flag and variable.
    pub fn check(&self) -> Result<(), String> {
        self.amqp_url.uri().map(drop).map_err(|why| format!("--amqp-url (MUSTER_AMQP_URL): {why}"))
    }

    /// The retry ladder.
    #[must_use]
    pub fn ladder(&self) -> Ladder {
        Ladder::new(Duration::from_millis(self.retry_base_ms))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.amqp_connect_timeout_ms)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.amqp_request_timeout_ms)
    }

    pub(crate) fn confirm_timeout(&self) -> Duration {
        Duration::from_millis(self.amqp_confirm_timeout_ms)
    }
}

/// A broker's address with its credentials. Neither `Debug` nor `Display` shows the password.
///
/// A text that is no such address is kept as the reason why not, and told by [`Config::check`]: a value that the flag parser
/// refuses would be printed whole, with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(Result<AMQPUri, &'static str>);

/// Seconds between heartbeats where the URL names none; a dead peer is noticed after two of them.
const HEARTBEAT_S: u16 = 10;

impl FromStr for AmqpUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // the parser's own text may hold parts of the URL, and so of the password
        let parsed = text.parse::<AMQPUri>().map_err(|_| "it is not of the form amqp://user:password@host:5672/%2f");
        Ok(Self(parsed.map(|mut uri| {
            uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
            uri
        })))
    }
}

impl AmqpUrl {
    /// The user and the vhost; `None` where the URL cannot be read.
    #[must_use]
    pub fn user_and_vhost(&self) -> Option<(&str, &str)> {
        self.0.as_ref().ok().map(|uri| (uri.authority.userinfo.username.as_str(), uri.vhost.as_str()))
    }

    /// Whether nobody on the way can read along: it is encrypted, or does not leave the machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let Ok(uri) = &self.0 else { return false };
        let host = uri.authority.host.as_str();
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        uri.scheme == AMQPScheme::AMQPS || host == "localhost" || is_loopback
    }

    /// The seconds between heartbeats; 0: a dead broker is noticed by nobody.
    #[must_use]
    pub fn heartbeat_s(&self) -> Option<u16> {
        self.0.as_ref().ok().and_then(|uri| uri.query.heartbeat)
    }

    pub(crate) fn uri(&self) -> Result<AMQPUri, &'static str> {
        self.0.clone()
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(AMQPUri { scheme, authority, vhost, .. }) => {
                let (user, host, port) = (&authority.userinfo.username, &authority.host, authority.port);
                write!(f, "{scheme}://{user}:***@{host}:{port}/{vhost}")
            }
            Err(why) => write!(f, "an unreadable URL: {why}"),
        }
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_never_shows_its_password() {
        let url: AmqpUrl = "amqp://muster:hunter2@127.0.0.1:5672/%2f".parse().expect("it is a URL");
        assert_eq!(format!("{url} {url:?}"), "amqp://muster:***@127.0.0.1:5672// amqp://muster:***@127.0.0.1:5672//");
    }

    #[test]
    fn an_unreadable_url_is_refused_with_the_right_form_and_without_its_password() {
        for url in ["http://u:canary@127.0.0.1", "canary", "amqp://u:can#ary@h/x", "amqp://u:canary@h:port/"] {
            let Ok(url) = url.parse::<AmqpUrl>();
            let config = Config::for_url(url);
            let error = config.check().expect_err("it is not AMQP");
            assert!(
                error.contains("MUSTER_AMQP_URL") && error.contains("amqp://user:password@host:5672/%2f"),
                "{error}"
            );
            assert!(!format!("{error}{config:?}").contains("canary"), "{error}{config:?}");
        }
    }

    #[test]
    fn what_leaves_the_machine_unencrypted_is_not_private() {
        for (text, is_private) in [
            ("amqp://u:p@127.0.0.1:5672/x", true),
            ("amqp://u:p@localhost/x", true),
            ("amqps://u:p@rabbit.example/x", true),
            ("amqp://u:p@rabbit.example/x", false),
            ("amqp://u:p@10.0.0.1/x", false),
            ("nonsense", false),
        ] {
            let Ok(url) = text.parse::<AmqpUrl>();
            assert_eq!(url.is_private(), is_private, "{text}");
        }
    }

    #[test]
    fn a_heartbeat_is_set_unless_the_url_names_one() {
        let Ok(default) = "amqp://localhost".parse::<AmqpUrl>();
        assert_eq!(default.uri().expect("it is a URL").query.heartbeat, Some(HEARTBEAT_S));
        let Ok(named) = "amqp://localhost?heartbeat=3".parse::<AmqpUrl>();
        assert_eq!(named.uri().expect("it is a URL").query.heartbeat, Some(3));
    }
}
