//! Every shape of a refusal, and what it means.

use super::*;
use crate::agent::agent_place;

const ENDPOINT: &str = "/agents/";
const AGENT: &str = "/agents/{agent}/";

fn refusal(endpoint: &'static str, status: u16, media: &str, body: &str, more: &[(&'static str, &str)]) -> Error {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, media.parse().expect("a header"));
    for (name, value) in more {
        headers.insert(*name, value.parse().expect("a header"));
    }
    let url = Url::parse("https://api.example.com/").expect("a URL");
    Refusal { endpoint, url: &url, status, headers: &headers, body: body.as_bytes() }.into_error()
}

fn json(endpoint: &'static str, status: u16, body: &str) -> Error {
    refusal(endpoint, status, "application/json", body, &[])
}

fn page(endpoint: &'static str, status: u16) -> Error {
    refusal(endpoint, status, "text/html; charset=utf-8", "\n<!doctype html><html></html>", &[])
}

#[test]
fn each_of_the_five_shapes_has_its_meaning() {
    let host = || "api.example.com".to_owned();
    let bad = |status, text: &str| Error::BadRequest { endpoint: ENDPOINT, status, text: text.to_owned() };
    let table = [
        // {"detail": …}
        (json(ENDPOINT, 403, r#"{"detail":"No."}"#), Error::Forbidden { endpoint: ENDPOINT }),
        (json(AGENT, 404, r#"{"detail":"Gone."}"#), Error::NotFound { endpoint: AGENT, text: "Gone".to_owned() }),
        (json(ENDPOINT, 405, r#"{"detail":"Method"}"#), bad(405, "Method")),
        (json(ENDPOINT, 415, r#"{"detail":"Media"}"#), bad(415, "Media")),
        // {"field": […]}
        (json(ENDPOINT, 400, r#"{"site":["Select one.","Or two."]}"#), bad(400, "site: Select one., Or two")),
        (json(ENDPOINT, 400, r#"{"non_field_errors":["Both."]}"#), bad(400, "Both")),
        (json(ENDPOINT, 400, r#"{"a":{"b":1}}"#), bad(400, "a:")),
        // "…"
        (json(ENDPOINT, 400, r#""Unable to contact the agent""#), Error::AgentAway),
        (json(ENDPOINT, 400, r#""natsdown""#), Error::NatsDown),
        (json(ENDPOINT, 400, r#""Not available for linux""#), bad(400, "Not available for linux")),
        (json("/v2/login/", 400, r#""Bad credentials""#), Error::BadCredentials),
        (json("/v2/login/", 400, r#"{"non_field_errors":["Unable"]}"#), Error::BadCredentials),
        (json("/v2/checkcreds/", 400, r#""Bad credentials""#), Error::BadCredentials),
        // a page
        (page(ENDPOINT, 400), Error::HostNotAllowed { host: host() }),
        (page(ENDPOINT, 403), Error::Blocked { host: host(), endpoint: ENDPOINT, status: 403 }),
        (page(ENDPOINT, 404), Error::NoSuchRoute { host: host(), endpoint: ENDPOINT }),
        (page("/beta/v1/agent/", 404), Error::BetaOff),
        (page(AGENT, 404), Error::NotFound { endpoint: AGENT, text: "unknown route".to_owned() }),
        (page(ENDPOINT, 413), Error::Blocked { host: host(), endpoint: ENDPOINT, status: 413 }),
        (page(ENDPOINT, 500), Error::Server { endpoint: ENDPOINT, status: 500, after: None }),
        (page(ENDPOINT, 502), Error::Server { endpoint: ENDPOINT, status: 502, after: None }),
        // plain text, other JSON, nothing
        (refusal(ENDPOINT, 400, "text/plain", "what?", &[]), bad(400, "what?")),
        (json(ENDPOINT, 400, "[1]"), bad(400, "[1]")),
        (json(ENDPOINT, 418, "7"), bad(418, "7")),
        (json(ENDPOINT, 500, ""), Error::Server { endpoint: ENDPOINT, status: 500, after: None }),
    ];
    for (at, (found, wanted)) in table.into_iter().enumerate() {
        assert_eq!(found, wanted, "row {at}");
    }
}

#[test]
fn a_404_where_tactical_always_answers_is_not_tacticals() {
    for endpoint in ["/core/dashinfo/", "/clients/", "/alerts/", ENDPOINT] {
        let unknown = Error::NoSuchRoute { host: "api.example.com".to_owned(), endpoint };
        for body in
            [r#"{"detail":"There is nothing at this address."}"#, r#"{"error":"no route"}"#, "404 page not found", ""]
        {
            assert_eq!(json(endpoint, 404, body), unknown, "{body}");
        }
        assert!(unknown.to_string().contains("answers, but not like Tactical"), "{unknown}");
    }
    // past the end of a list
    let page = json("/beta/v1/agent/", 404, r#"{"detail":"Invalid page."}"#);
    assert_eq!(page, Error::NotFound { endpoint: "/beta/v1/agent/", text: "Invalid page".to_owned() });
}

#[test]
fn a_401_has_four_meanings() {
    for (detail, fault) in [
        ("Authentication credentials were not provided.", AuthFault::Missing),
        ("Invalid token.", AuthFault::Invalid),
        ("The token has expired.", AuthFault::Expired),
        ("User inactive or deleted.", AuthFault::Inactive),
        ("something newer", AuthFault::Invalid),
    ] {
        let body = format!(r#"{{"detail":"{detail}"}}"#);
        assert_eq!(json(ENDPOINT, 401, &body), Error::Unauthorized(fault), "{detail}");
    }
}

#[test]
fn the_wish_to_wait_is_read_in_every_form() {
    let throttled = |wait: &str| refusal(ENDPOINT, 429, "application/json", "{}", &[("retry-after", wait)]);
    assert_eq!(throttled("59"), Error::Throttled { after: Some(Duration::from_secs(59)) });
    assert_eq!(throttled("Wed, 21 Oct 2015 07:28:00 GMT"), Error::Throttled { after: Some(Duration::ZERO) });
    assert_eq!(throttled("soon"), Error::Throttled { after: None });
    let said = json(ENDPOINT, 429, r#"{"detail":"Request was throttled. Expected available in 59 seconds."}"#);
    assert_eq!(said, Error::Throttled { after: Some(Duration::from_secs(59)) });
    let later = refusal(ENDPOINT, 503, "text/html", "<p>", &[("retry-after", "120")]);
    assert_eq!(later, Error::Server { endpoint: ENDPOINT, status: 503, after: Some(Duration::from_secs(120)) });
}

#[test]
fn a_redirect_says_where_to_and_nothing_secret() {
    for (location, to) in [
        ("/agents/", Some("/agents/")),
        ("https://user:secret@rmm.example.com/login?token=secret", Some("https://rmm.example.com")),
        ("http://169.254.169.254/latest/", Some("http://169.254.169.254")),
        ("//evil.example.net/x", Some("https://evil.example.net")),
        ("https://", None),
    ] {
        let error = refusal(ENDPOINT, 302, "text/html", "", &[("location", location)]);
        assert_eq!(error, Error::Redirected { endpoint: ENDPOINT, to: to.map(str::to_owned) }, "{location}");
    }
    assert_eq!(refusal(ENDPOINT, 301, "text/html", "", &[]), Error::Redirected { endpoint: ENDPOINT, to: None });
}

#[test]
fn of_the_servers_words_300_characters_are_kept() {
    let body = format!(r#"{{"detail":"{}"}}"#, "ä\\n".repeat(5_000));
    let Error::NotFound { text, .. } = json(AGENT, 404, &body) else { panic!("it is a 404") };
    assert!(text.chars().count() <= 300 && !text.contains('\n'), "{text}");
}

#[test]
fn only_tacticals_own_word_says_that_an_agent_is_gone() {
    assert!(json(AGENT, 404, r#"{"detail":"No Agent matches the given query."}"#).is_no_such_object());
    for other in [
        page(AGENT, 404),
        json(AGENT, 404, r#"{"detail":"Not found."}"#),
        json(AGENT, 404, r#"{"error":"no route"}"#),
        json(AGENT, 403, r#"{"detail":"No Agent matches the given query."}"#),
        agent_place(AGENT, "../clients").expect_err("it is no id"),
    ] {
        assert!(!other.is_no_such_object(), "{other}");
    }
}
