//! `muster connect`, `test`, `status` and `disconnect`: a tenant's connection to its Tactical server.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::console::{Console, Flags, INTEGRATION, Refused};
use crate::secret::read_file;
use crate::show::{Sheet, print_json, text};

/// A code has six digits; some authenticators make eight.
const CODE_CHARS: std::ops::RangeInclusive<usize> = 6..=8;

/// What gives that which the API names otherwise.
const FLAGS: [(&str, &str); 5] = [
    ("instance_url", "--url"),
    ("api_key", "--api-key-file"),
    ("username", "--username"),
    ("password", "--password-file"),
    ("device_source", "--source"),
];

/// Which list of devices is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// The list behind the dashboard, client by client: small, and what the role may see
    Classic,
    /// The beta API: everything about each device, a hundred times as large, off by default in Tactical
    Beta,
}

/// The flags of `connect`. What is not given stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Tactical's API host, e.g. `https://api.example.com`
    #[arg(long)]
    url: Option<String>,
    /// File with an API key of Tactical; or set MUSTER_TACTICAL_API_KEY
    #[arg(long, conflicts_with = "username")]
    api_key_file: Option<PathBuf>,
    /// A user of Tactical who may log in, instead of an API key
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File with that user's password
    #[arg(long, requires = "username")]
    password_file: Option<PathBuf>,
    /// Where the devices are read from
    #[arg(long)]
    source: Option<Source>,
    /// Replace settings that work also where the test with these fails
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    console: Flags,
}

/// The flags of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The present TOTP code, where the account needs one; asked for on a terminal
    #[arg(long)]
    code: Option<String>,
    #[command(flatten)]
    console: Flags,
}

/// Saves the settings and tests them. Settings that work are replaced only by such as pass the test, which is made before
/// anything is saved; what was replaced is told on stderr.
///
/// # Errors
/// What the console said; the test did not succeed.
pub(crate) async fn connect(flags: Connect) -> anyhow::Result<()> {
    let settings = flags.settings()?;
    let console = flags.console.open()?;
    if settings.is_empty() {
        return test_with(&console, None).await;
    }
    let before: Value = console.get(INTEGRATION).await?;
    if works(&before) && !flags.force {
        try_out(&console, &settings, &before).await?;
    }
    let after: Value = console.send(Method::PUT, INTEGRATION, Some(&settings)).await.map_err(by_flags)?;
    replaced(&before, &after, &settings).iter().for_each(|line| eprintln!("{line}"));
    test_with(&console, None).await
}

/// Whether a test has succeeded with what is saved, as far as that is known.
fn works(status: &Value) -> bool {
    status["is_active"] == json!(true)
        && !status["instance_url"].is_null()
        && status["secrets"].as_array().is_some_and(|secrets| !secrets.is_empty())
}

/// Tests the new settings before they are saved.
async fn try_out(console: &Console, settings: &Map<String, Value>, before: &Value) -> anyhow::Result<()> {
    let report: Value = console.post(&format!("{INTEGRATION}/test"), &json!({ "settings": settings })).await?;
    let outcome = text(&report, "outcome");
    // user and password are right; a code is good once, and is asked for when they are saved
    if matches!(outcome.as_str(), "ok" | "code_needed") {
        return Ok(());
    }
    bail!(
        "{} Nothing was saved: the connection to {} stays as it was (--force saves nevertheless)",
        tell(console, report)?,
        text(before, "instance_url")
    )
}

/// Prints what a test found; the same in a line.
fn tell(console: &Console, mut report: Value) -> anyhow::Result<String> {
    if console.json {
        print_json(&report)?;
    }
    reword(&mut report);
    if !console.json {
        Sheet(&report).print(&mut io::stdout().lock())?;
    }
    Ok(format!("{}: {} {}", text(&report, "outcome"), text(&report, "sentence"), text(&report, "remedy")))
}

/// Says what is missing by the flags that give it.
fn reword(report: &mut Value) {
    let (sentence, remedy) = match text(report, "outcome").as_str() {
        "no_url" => {
            ("No URL of a Tactical server has been saved.", "Give that of its API host: `muster connect --url …`.")
        }
        "no_secret" if text(report, "sentence").contains("api_key") => (
            "No API key is saved for this URL.",
            "Give it with `muster connect --api-key-file …` (or MUSTER_TACTICAL_API_KEY), \
             or a user with --username and --password-file.",
        ),
        "no_secret" => (
            "User name and password for this URL are not saved.",
            "Give them with `muster connect --username … --password-file …`, or an API key with --api-key-file.",
        ),
        _ => return,
    };
    (report["sentence"], report["remedy"]) = (json!(sentence), json!(remedy));
}

/// A refusal of settings, with the flags in place of the API's own names for them.
fn by_flags(error: anyhow::Error) -> anyhow::Error {
    let refused = match error.downcast::<Refused>() {
        Ok(refused) => refused.to_string(),
        Err(other) => return other,
    };
    let said =
        FLAGS.iter().fold(refused, |said, (name, flag)| said.replace(&format!("`{name}`"), &format!("`{flag}`")));
    anyhow::anyhow!(said.replace("Send `--", "Give `--").replace("in the same request", "in the same command"))
}

/// What was there before and is so no longer, a line each, and the way back.
fn replaced(before: &Value, after: &Value, settings: &Map<String, Value>) -> Vec<String> {
    let changes =
        [("instance_url", "the URL"), ("auth_mode", "the way to authenticate"), ("device_source", "the source")];
    let mut lines: Vec<String> = changes
        .iter()
        .filter(|(name, _)| !before[*name].is_null() && before[*name] != after[*name])
        .map(|(name, what)| format!("{what} was {}, now {}", text(before, name), text(after, name)))
        .collect();
    let had =
        |name: &str| before["secrets"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == json!(name)));
    for (member, name, what) in [
        ("api_key", "tacticalrmm_api_key", "the API key"),
        ("password", "tacticalrmm_password", "user name and password"),
    ] {
        if settings.contains_key(member) && had(name) {
            lines.push(format!("{what} of before were replaced and are not kept"));
        }
    }
    let url = &before["instance_url"];
    if !url.is_null() && *url != after["instance_url"] {
        let who = if before["auth_mode"] == json!("knox") {
            "--username … --password-file …"
        } else {
            "--api-key-file …"
        };
        lines.push(format!("back: `muster connect --url {} {who}`", text(before, "instance_url")));
    }
    if after["state"] == json!("unconfirmed") {
        let line = "the mappings are of the server before: nothing is imported until `muster sync clients --wait` has found \
                    the same clients behind the new URL, or somebody has decided with `muster mappings confirm`";
        lines.push(line.to_owned());
    }
    lines
}

/// Tests the connection.
///
/// # Errors
/// What the console said; the test did not succeed.
pub(crate) async fn test(flags: Test) -> anyhow::Result<()> {
    test_with(&flags.console.open()?, flags.code).await
}

/// Tells how the connection stands.
///
/// # Errors
/// What the console said.
pub(crate) async fn status(flags: Flags) -> anyhow::Result<()> {
    let console = flags.open()?;
    let status: Value = console.get(INTEGRATION).await?;
    if console.json {
        print_json(&status)?
    } else {
        Sheet(&status).print(&mut io::stdout().lock())?
    }
    let missing = status["missing"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let flags: Vec<&str> =
        missing.filter_map(|it| FLAGS.iter().find(|(name, _)| it == name)).map(|(_, flag)| *flag).collect();
    if !flags.is_empty() {
        eprintln!("what is missing is given with `muster connect {} …`", flags.join(" … "));
    }
    Ok(())
}

/// Disconnects: the secrets are deleted, nothing is synced any more, mappings and assets stay.
///
/// # Errors
/// What the console said.
pub(crate) async fn disconnect(flags: Flags) -> anyhow::Result<()> {
    let console = flags.open()?;
    let answer: Value = console.post(&format!("{INTEGRATION}/disconnect"), &json!({})).await?;
    if console.json {
        print_json(&answer)?;
    }
    eprintln!("disconnected: the secrets are deleted, mappings and assets stay");
    Ok(())
}

impl Connect {
    fn settings(&self) -> anyhow::Result<Map<String, Value>> {
        let mut settings = Map::new();
        if let Some(url) = &self.url {
            settings.insert("instance_url".to_owned(), json!(url.trim_end_matches('/')));
        }
        if let Some(source) = self.source {
            let word = source.to_possible_value().expect("no source is hidden").get_name().to_owned();
            settings.insert("device_source".to_owned(), json!(word));
        }
        let api_key = match (&self.api_key_file, std::env::var("MUSTER_TACTICAL_API_KEY")) {
            (Some(path), _) => Some(read_file(path, "the API key")?),
            (None, Ok(key)) if self.username.is_none() => Some(SecretString::from(key.trim())),
            (None, _) => None,
        };
        if let Some(key) = api_key {
            ensure!(!key.expose_secret().is_empty(), "the API key (--api-key-file, MUSTER_TACTICAL_API_KEY) is empty");
            settings.insert("auth_mode".to_owned(), json!("api_key"));
            settings.insert("api_key".to_owned(), json!(key.expose_secret()));
        }
        if let (Some(username), Some(path)) = (&self.username, &self.password_file) {
            let password = read_file(path, "the password")?;
            settings.insert("auth_mode".to_owned(), json!("knox"));
            settings.insert("username".to_owned(), json!(username));
            settings.insert("password".to_owned(), json!(password.expose_secret()));
        }
        Ok(settings)
    }
}

/// Tests, asks for a code where one is needed and somebody is there to give it, and tests again with it.
async fn test_with(console: &Console, code: Option<String>) -> anyhow::Result<()> {
    let mut report = test_once(console, code).await?;
    while matches!(text(&report, "outcome").as_str(), "code_needed" | "code_refused") && io::stdin().is_terminal() {
        eprintln!("{}", text(&report, "sentence"));
        let Some(code) = ask_code()? else { break };
        report = test_once(console, Some(code)).await?;
    }
    let is_ok = text(&report, "outcome") == "ok";
    let told = tell(console, report)?;
    ensure!(is_ok, told);
    Ok(())
}

async fn test_once(console: &Console, code: Option<String>) -> anyhow::Result<Value> {
    let body = code.map_or_else(|| json!({}), |code| json!({"code": code.trim()}));
    console.post(&format!("{INTEGRATION}/test"), &body).await
}

/// A code from the terminal; `None`: an empty line, which gives up.
fn ask_code() -> anyhow::Result<Option<String>> {
    loop {
        eprint!("TOTP code (empty to give up): ");
        io::stderr().flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let code = line.trim();
        if code.is_empty() {
            return Ok(None);
        }
        if CODE_CHARS.contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Some(code.to_owned()));
        }
        eprintln!("a code has six digits");
    }
}
