//! The flags' defaults, and how a bad one is told.

use clap::CommandFactory as _;

use super::*;

const GOOD: [&str; 7] = [
    "ingest-gateway",
    "--database-url",
    "postgres://muster:canary-db@127.0.0.1/muster",
    "--amqp-url",
    "amqp://muster:canary-amqp@127.0.0.1:5672/%2f",
    "--hook-pepper",
    "canary-pepper-0123456789",
];

fn with(more: &[&str]) -> Result<Config, Refused> {
    Config::read(GOOD.iter().chain(more))
}

#[test]
fn the_flags_are_sound() {
    Config::command().debug_assert();
}

#[test]
fn the_help_does_not_name_the_workers_probe_listener() {
    let help = Config::command().render_long_help().to_string();
    assert!(help.contains("--admin-listen") && !help.contains("probe-listen"), "{help}");
    assert!(with(&["--probe-listen", "127.0.0.1:9000"]).is_ok(), "an environment may be shared with workers");
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let Config { limits, ticks, .. } = with(&[]).unwrap();
    assert_eq!(
        (limits.body_bytes_max, limits.header_read_timeout_ms, limits.body_read_timeout_ms),
        (524_288, 3_000, 3_000)
    );
    assert_eq!((limits.hook_reload_ms, limits.hook_lookup_timeout_ms), (10_000, 250));
    assert_eq!((ticks.ticks, ticks.tick_period_ms, ticks.tick_rows_max), (true, 1_000, 500));
}

#[test]
fn no_secret_is_shown() {
    let config = with(&[]).unwrap();
    assert!(!format!("{config:?}").contains("canary"), "{config:?}");
}

#[test]
fn a_bad_flag_is_one_line_that_names_it_and_its_variable() {
    for (more, flag, variable) in [
        (["--listen", "nowhere"], "--listen", "MUSTER_GATEWAY_LISTEN"),
        (["--connections-max", "0"], "--connections-max", "MUSTER_GATEWAY_CONNECTIONS_MAX"),
        (["--body-bytes-max", "x"], "--body-bytes-max", "MUSTER_GATEWAY_BODY_BYTES_MAX"),
        (["--header-bytes-max", "8191"], "--header-bytes-max", "MUSTER_GATEWAY_HEADER_BYTES_MAX"),
        (["--hook-reload-ms", "0"], "--hook-reload-ms", "MUSTER_GATEWAY_HOOK_RELOAD_MS"),
        (["--ticks", "maybe"], "--ticks", "MUSTER_GATEWAY_TICKS"),
        (["--tick-period-ms", "9"], "--tick-period-ms", "MUSTER_GATEWAY_TICK_PERIOD_MS"),
        (["--tick-rows-max", "0"], "--tick-rows-max", "MUSTER_GATEWAY_TICK_ROWS_MAX"),
    ] {
        let line = with(&more).unwrap_err().to_string();
        assert!(line.contains(flag) && line.contains(variable) && !line.contains('\n'), "{line}");
    }
    assert!(with(&["--header-bytes-max", "8192"]).is_ok());
    assert!(with(&["--connections-max", "1"]).is_ok());
    assert!(with(&["--ticks", "false", "--tick-period-ms", "10", "--tick-rows-max", "1"]).is_ok());
}

#[test]
fn what_is_missing_is_one_line_that_names_it_and_its_variable() {
    if ["MUSTER_DATABASE_URL", "MUSTER_AMQP_URL", "MUSTER_HOOK_PEPPER"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return only_the_pepper_is_checked();
    }
    let line = Config::read(["ingest-gateway"]).unwrap_err().to_string();
    for name in ["--hook-pepper", "MUSTER_HOOK_PEPPER", "--database-url", "MUSTER_DATABASE_URL", "MUSTER_AMQP_URL"] {
        assert!(line.contains(name), "{name}: {line}");
    }
    assert!(!line.contains('\n'), "{line}");
}

/// The environment of a test run names the servers; then only what is not in it can be missing.
fn only_the_pepper_is_checked() {
    if std::env::var_os("MUSTER_HOOK_PEPPER").is_none() {
        let line = Config::read(&GOOD[..5]).unwrap_err().to_string();
        assert!(line.contains("--hook-pepper") && line.contains("MUSTER_HOOK_PEPPER"), "{line}");
    }
}

#[test]
fn a_pepper_comes_from_its_file_and_has_a_least_length() {
    use secrecy::ExposeSecret as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pepper");
    let mut config = with(&[]).unwrap();
    config.pepper.hook_pepper = None;
    config.pepper.hook_pepper_file = Some(file.clone());
    assert!(config.pepper.read().unwrap_err().contains("MUSTER_HOOK_PEPPER_FILE"));
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    assert_eq!(config.pepper.read().unwrap().expose_secret(), "0123456789abcdef");
    std::fs::write(&file, "0123456789abcde\n").unwrap();
    assert!(config.pepper.read().unwrap_err().contains("16 bytes"));
    config.pepper.hook_pepper_file = None;
    assert!(config.pepper.read().is_err());
}
