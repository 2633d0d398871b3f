//! The flags' defaults, and how a bad one is told.

use clap::CommandFactory as _;

use super::*;

const GOOD: [&str; 9] = [
    "console",
    "--database-url",
    "postgres://muster:canary-db@127.0.0.1/muster",
    "--public-gateway-url",
    "https://hooks.example.com",
    "--hook-pepper",
    "canary-pepper-0123456789",
    "--vault-key",
    "ca0a21ca0a21ca0a21ca0a21ca0a21ca0a21ca0a21ca0a21ca0a21ca0a210000",
];

fn with(more: &[&str]) -> Result<Config, Refused> {
    Config::read(GOOD.iter().chain(more))
}

#[test]
fn the_flags_are_sound() {
    Config::command().debug_assert();
    with(&[]).unwrap().check().unwrap();
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", with(&[]).unwrap());
    assert!(!shown.contains("canary") && !shown.contains("ca0a21"), "{shown}");
}

#[test]
fn a_bad_flag_is_one_line_that_names_it_and_its_variable() {
    for (more, flag, variable) in [
        (["--listen", "nowhere"], "--listen", "MUSTER_CONSOLE_LISTEN"),
        (["--connections-max", "0"], "--connections-max", "MUSTER_CONSOLE_CONNECTIONS_MAX"),
        (["--body-bytes-max", "0"], "--body-bytes-max", "MUSTER_CONSOLE_BODY_BYTES_MAX"),
        (["--webhook-grace-s", "9999999"], "--webhook-grace-s", "MUSTER_WEBHOOK_GRACE_S"),
    ] {
        let line = with(&more).unwrap_err().to_string();
        assert!(line.contains(flag) && line.contains(variable) && !line.contains('\n'), "{line}");
    }
    for url in ["hooks.example.com", "ftp://x", "https://x?tenant=1", "https://x#a"] {
        let line = gateway_url(url).unwrap_err();
        assert!(line.contains("expected a URL"), "{url}: {line}");
    }
}

#[test]
fn a_key_that_is_none_is_one_line() {
    let mut config = with(&[]).unwrap();
    config.vault.vault_key = Some("short".into());
    let line = config.check().unwrap_err();
    assert!(line.contains("MUSTER_VAULT_KEY") && !line.contains("short"), "{line}");
}
