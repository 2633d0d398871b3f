//! One supervised connection: built, used until it breaks, built again, for ever. lapin's own recovery ends in a silent
//! hang, so it is never switched on.

use std::future::Future;
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties, Event};
use tokio_util::sync::CancellationToken;

use crate::backoff::Policy;
use crate::config::Config;

/// Why a connection, or one request on it, came to its end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker, or lapin on its behalf, reported an error.
    #[error("{what}: {cause}")]
    Amqp {
        /// What was attempted.
        what: String,
        /// What the broker said.
        cause: lapin::Error,
    },
    /// No answer in time: a hung broker, a blocked connection, or a queue without a leader.
    #[error("{what}: no answer within {} ms", waited.as_millis())]
    Silent {
        /// What was attempted.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// The broker's address cannot be read; [`crate::Config::check`] tells that before anything is started.
    #[error("cannot connect: {0}")]
    Url(&'static str),
    /// The broker ended a consumer by itself: its queue was deleted, or its node went away.
    #[error("the broker ended the consumer of {queue}")]
    ConsumerEnded {
        /// Whose consumer.
        queue: String,
    },
}

/// Awaits one request to the broker, never for ever.
pub(crate) async fn request<T>(
    limit: Duration,
    what: impl Into<String>,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(LinkError::Amqp { what: what.into(), cause }),
        Err(_) => Err(LinkError::Silent { what: what.into(), waited: limit }),
    }
}

const RECONNECT: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, ceiling: Duration::from_secs(5), jitter: 0.3 };

/// How long a connection must have lived for its end not to count as another failure in a row.
const HEALTHY: Duration = Duration::from_secs(10);

/// What a connection is for.
pub(crate) trait Session: Send {
    /// Uses the connection until it breaks (`Err`) or nothing is left to do (`Ok`).
    fn run(&mut self, connection: &Connection) -> impl Future<Output = Result<(), LinkError>> + Send;
}

/// Runs `session` on one connection after another until it returns `Ok` or `stop` is cancelled while none is up.
pub(crate) async fn supervise(config: &Config, name: &str, stop: &CancellationToken, mut session: impl Session) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let ended = match connect(config, name).await {
            Ok(connection) => {
                metrics::gauge!("muster_connection_up", "server" => name.to_owned()).set(1.0);
                let ended = session.run(&connection).await;
                metrics::gauge!("muster_connection_up", "server" => name.to_owned()).set(0.0);
                let _ = tokio::time::timeout(Duration::from_secs(1), connection.close(200, "done".into())).await;
                ended
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        failures = if begun.elapsed() >= HEALTHY { 1 } else { failures + 1 };
        metrics::counter!("muster_reconnects_total", "server" => name.to_owned()).increment(1);
        let pause = RECONNECT.interval(failures);
        tracing::warn!(connection.name = name, error = %error, retry_in_ms = pause.as_millis() as u64, "lost the broker");
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
}

pub(crate) async fn connect(config: &Config, name: &str) -> Result<Connection, LinkError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let uri = config.amqp_url.uri().map_err(LinkError::Url)?;
    let connecting = Connection::connect_uri(uri, properties);
    request(config.connect_timeout(), format!("cannot connect to {}", config.amqp_url), connecting).await
}

/// An idle connection's death is only seen in its events.
pub(crate) fn check(event: Event) -> Result<(), LinkError> {
    match event {
        Event::Error(cause) => Err(LinkError::Amqp { what: "the connection broke".to_owned(), cause }),
        Event::ConnectionBlocked(reason) => {
            tracing::warn!(reason, "the broker blocks publishers until its alarm ends");
            Ok(())
        }
        _ => Ok(()),
    }
}
