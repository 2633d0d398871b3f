//! What leaves this process, what does not, and what an error says of it.

use std::time::Duration;

use secrecy::SecretString;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::testing::{KEY, Server, answer, local};
use crate::{AgentFilter, AuthFault, Client, Config, Credential, Error, Gate, UrlError, Wait};

#[tokio::test]
async fn a_request_carries_one_credential_and_ends_with_a_slash() {
    let server = Server::json(r#"{"trmm_version":"1.5.1"}"#).await;
    let url = format!("http://{}", server.address);
    server.client(&local()).version().await.unwrap();
    let token = Some(Credential::Session(SecretString::from("abc")));
    Client::new(&local(), &url, token, Gate::new()).unwrap().version().await.unwrap();
    Client::new(&local(), &url, None, Gate::new()).unwrap().version().await.unwrap();
    let heads = server.heads();
    let lower: Vec<String> = heads.iter().map(|head| head.to_ascii_lowercase()).collect();
    assert!(lower.iter().all(|head| head.starts_with("get /core/dashinfo/ http/1.1\r\n")), "{heads:?}");
    assert!(lower.iter().all(|head| head.contains("user-agent: muster/") && !head.contains("accept-encoding")));
    assert!(heads[0].contains(&format!("x-api-key: {KEY}\r\n")) && !lower[0].contains("authorization"));
    assert!(lower[1].contains("authorization: token abc\r\n") && !lower[1].contains("x-api-key"));
    assert!(!lower[2].contains("authorization") && !lower[2].contains("x-api-key"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::json("{}").await;
    let location = format!("http://{}/core/dashinfo/", other.address);
    let head = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let error = Server::saying(head).await.client(&local()).version().await.unwrap_err();
    let to = Some(format!("http://{}", other.address));
    assert_eq!(error, Error::Redirected { endpoint: "/core/dashinfo/", to });
    assert!(other.heads().is_empty(), "nobody asked the other server");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let server = Server::json("{}").await;
    let url = format!("http://localhost:{}", server.address.port());
    assert_eq!(
        Client::new(&Config { allow_http: true, ..Config::default() }, &url, None, Gate::new()).map(drop),
        Err(Error::BadUrl(UrlError::Address))
    );
    // connections that were made under the strict settings stay strict, though the name itself passes
    let gate = Gate::new();
    let strict = Config { allow_http: true, ..Config::default() };
    Client::new(&strict, "http://api.example.com", None, gate.clone()).unwrap();
    let error = Client::new(&local(), &url, None, gate).unwrap().version().await.unwrap_err();
    assert_eq!(error, Error::AddressRefused { host: url["http://".len()..].to_owned() });
    assert!(server.heads().is_empty(), "no connection was made");
    // and with the operator's leave it is reached by name
    let open = Config { allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], ..local() };
    Client::new(&open, &url, None, Gate::new()).unwrap().version().await.unwrap();
}

#[tokio::test]
async fn each_way_of_not_being_reached_has_its_own_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = Client::new(&local(), &format!("http://{address}"), None, Gate::new()).unwrap();
    let error = refused.health().await.unwrap_err();
    assert!(matches!(&error, Error::Refused { host, .. } if *host == address.to_string()), "{error:?}");

    let unknown = Client::new(&local(), "https://tactical.invalid", None, Gate::new()).unwrap();
    let error = unknown.health().await.unwrap_err();
    assert_eq!(error, Error::NotResolved { host: "tactical.invalid".to_owned() });

    // a port that speaks no TLS
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = plain.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let tls = Client::new(&local(), &format!("https://{address}"), None, Gate::new()).unwrap();
    let error = tls.health().await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");

    let silent = Server::start(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let error = silent.client(&Config { read_timeout_ms: 50, ..local() }).health().await.unwrap_err();
    assert_eq!(error, Error::Timeout { endpoint: "/", wait: Wait::Read, after_ms: 50 });

    let hangs_up = Server::start(|socket| async move { drop(socket) }).await;
    let error = hangs_up.client(&local()).health().await.unwrap_err();
    assert!(matches!(error, Error::NoHttp { .. }), "{error:?}");

    // somebody is there and speaks something else
    for greeting in ["SSH-2.0-OpenSSH_9.2\r\n", "-ERR unknown command\r\n", "220 mail.example.com ESMTP\r\n"] {
        let error = Server::saying(greeting.to_owned()).await.client(&local()).health().await.unwrap_err();
        assert!(matches!(error, Error::NoHttp { .. }), "{greeting}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone() {
    let server = Server::saying(answer("502 Bad Gateway", "text/html", "<h1>502</h1>")).await;
    let client = server.client(&local());
    for _ in 0..5 {
        assert!(matches!(client.health().await, Err(Error::Server { status: 502, .. })));
    }
    // clones and other clients of the same integration share the breaker
    assert!(matches!(client.clone().clients().await, Err(Error::BreakerOpen { .. })));
    assert_eq!(server.heads().len(), 5);
}

#[tokio::test]
async fn an_action_may_take_its_own_time() {
    let server = Server::start(|mut socket| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let _ = socket.write_all(answer("200 OK", "application/json", "\"done\\n\"").as_bytes()).await;
    })
    .await;
    let client = server.client(&Config { read_timeout_ms: 50, ..local() });
    let command = crate::Command { shell: "cmd".into(), line: "x".into(), timeout_s: 5, run_as_user: false };
    assert_eq!(client.run_command("Abc", &command).await.as_deref(), Ok("done\n"));
}

#[tokio::test]
async fn a_request_may_have_less_time_than_is_configured_and_never_more() {
    let server = Server::start(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let endpoint = "/software/{agent}/";
    for (configured_ms, own_ms) in [(60_000, 100), (100, 60_000)] {
        let client = server.client(&Config { total_timeout_ms: configured_ms, ..local() });
        let ask = crate::ask::Ask::get(endpoint, &["Abc"]).within(Duration::from_millis(own_ms));
        let error = client.object::<serde_json::Value>(ask).await.unwrap_err();
        assert_eq!(error, Error::Timeout { endpoint, wait: Wait::Total, after_ms: 100 });
    }
}

#[tokio::test]
async fn an_id_that_no_agent_has_is_not_asked_for() {
    let server = Server::json("{}").await;
    let client = server.client(&local());
    for id in ["", ".", "..", "a/b", "a?b", "a b", "%2e%2e", "ü", &"a".repeat(256)] {
        assert!(matches!(client.agent(id).await, Err(Error::NotFound { .. })), "{id}");
        assert!(matches!(client.software_of(id).await, Err(Error::NotFound { .. })), "{id}");
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_refused() {
    for key in ["", "  ", "a\nb", "ключ", "a\u{0}b"] {
        let credential = Some(Credential::ApiKey(SecretString::from(key)));
        let client = Client::new(&local(), "http://127.0.0.1:8000", credential, Gate::new());
        assert_eq!(client.map(drop), Err(Error::UnusableKey), "{key:?}");
    }
}

#[tokio::test]
async fn neither_error_nor_debug_shows_the_key() {
    let echo = format!(r#"{{"detail":"{}"}}"#, "said ".repeat(200));
    let said = [
        answer("400 Bad Request", "application/json", &echo),
        answer("500 Oh", "text/html", "<p>"),
        answer("200 OK", "application/json", "7"),
        "garbage\r\n\r\n".to_owned(),
        String::new(),
    ];
    for said in said {
        let server = Server::saying(said).await;
        let client = server.client(&local());
        let error = client.version().await.expect_err("none of them is an answer");
        let shown = format!("{error} {error:?} {} {client:?}", fault::chain(&error));
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(error.to_string().chars().count() < 400, "{error}");
        assert!(server.heads()[0].contains(KEY), "it was sent all the same");
    }
}

#[tokio::test]
async fn a_refused_login_repeats_no_password() {
    let body = r#"{"token": 7, "expiry": "canary-password"}"#;
    let client = Server::json(body).await.client(&local());
    let error = client.login("user", &SecretString::from("canary-password"), "123456").await.unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }) && !format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_401_says_which_of_four() {
    let body = r#"{"detail":"The token has expired."}"#;
    let client = Server::saying(answer("401 Unauthorized", "application/json", body)).await.client(&local());
    let error = client.agents(&AgentFilter::default()).await.map(drop).unwrap_err();
    assert_eq!(error, Error::Unauthorized(AuthFault::Expired));
}
