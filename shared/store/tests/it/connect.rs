//! The pool behind a network that swallows everything: the caller gets an answer, and the pool its place back.

use std::sync::Arc;

use fault::{Class, Classify};
use store::testing::TestDatabase;
use store::{Config, Store};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::within;

/// A TCP proxy whose connections so far can be frozen: they stay open, and nothing passes any more.
struct Proxy {
    port: u16,
    freeze: Arc<Notify>,
}

impl Proxy {
    async fn before(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Self { port: listener.local_addr().expect("it is bound").port(), freeze: Arc::new(Notify::new()) };
        let freeze = Arc::clone(&proxy.freeze);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect((host.as_str(), port)).await.expect("the server is there");
                let freeze = Arc::clone(&freeze);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return,
                        () = freeze.notified() => {}
                    }
                    // both sockets stay open
                    std::future::pending::<()>().await;
                });
            }
        });
        proxy
    }
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_an_outage_and_the_pool_recovers() {
    let database = TestDatabase::create().await;
    let (user, rest) = database.url().split_once('@').expect("the url has a user");
    let (address, name) = rest.split_once('/').expect("the url has a database");
    let (host, port) = address.rsplit_once(':').expect("the url has a port");
    let proxy = Proxy::before(host.to_owned(), port.parse().expect("a number")).await;
    let mut config = Config::for_url(&format!("{user}@127.0.0.1:{}/{name}", proxy.port));
    config.connections_max = 1;
    config.acquire_timeout_ms = 1_000;
    config.statement_timeout_ms = 100;
    let store = Store::lazy(&config, "test").expect("the url is sound");
    store.ping().await.expect("it answers through the proxy");

    proxy.freeze.notify_waiters();
    let error = within(store.ping()).await.expect_err("nothing passes");
    assert_eq!(error.class(), Class::Outage);
    // the only place of the pool comes back, and a new connection passes
    within(async { while store.ping().await.is_err() {} }).await;
}
