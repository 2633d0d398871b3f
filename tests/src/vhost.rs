//! A vhost of a test's own on the shared RabbitMQ server; deleted with its handle.

use std::ops::Deref;

use broker::config::AmqpUrl;
use url::Url;

use crate::admin::Admin;
use crate::amqp::Client;

/// A vhost. It derefs to a [`Client`] that looks at it from outside.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    client: Client,
    admin: Admin,
}

impl Vhost {
    /// An empty vhost on the server of `MUSTER_AMQP_URL`.
    ///
    /// # Panics
    /// When that or `MUSTER_AMQP_ADMIN_URL` is unset, or the server is away.
    pub async fn create() -> Self {
        let name = format!("muster_test_{:016x}", rand::random::<u64>());
        let mut url = Url::parse(&crate::variable("MUSTER_AMQP_URL", "a RabbitMQ server"))
            .unwrap_or_else(|error| panic!("MUSTER_AMQP_URL is not a URL: {error}"));
        url.set_path(&name);
        let admin = Admin::from_env();
        admin.create_vhost(&name).await;
        Self { client: Client::at(url.as_str()), name, admin }
    }

    /// A process's configuration for this vhost; see [`config_for`].
    #[must_use]
    pub fn config(&self) -> broker::Config {
        config_for(self.url())
    }

    /// Ends the connections of that name as an operator would, once there is one.
    ///
    /// # Panics
    /// When none appears.
    pub async fn close_connections(&self, name: &str) {
        crate::until(crate::DEADLINE, async || match self.admin.close_connections(&self.name, name).await {
            0 => Err(format!("no connection {name}")),
            closed => Ok(closed),
        })
        .await;
    }

    /// See [`Admin::dead_letters`].
    ///
    /// # Panics
    /// As there.
    pub async fn dead_letters(&self) -> Vec<(String, u64)> {
        self.admin.dead_letters(&self.name).await
    }
}

/// The defaults, but for two: nobody kills the shared server, so a new queue needs no second to settle, and the ladder
/// is a thousand times as short.
#[must_use]
pub fn config_for(url: &str) -> broker::Config {
    let url: AmqpUrl = url.parse().unwrap_or_else(|error| panic!("{error}"));
    broker::Config { amqp_settle_ms: 0, retry_base_ms: 1, ..broker::Config::for_url(url) }
}

impl Deref for Vhost {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.afresh(), self.name.clone());
        // `drop` cannot await, and the test's runtime is busy dropping
        let _ = crate::apart(move || async move { admin.delete_vhost(&name).await });
    }
}
