//! `muster token …`: who may use the console's API, and for what.

use std::io::{self, Write};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use clap::ArgGroup;
use secrecy::ExposeSecret;
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::token::{self, NewToken, Permission, Token};
use uuid::Uuid;

/// Ten years in days; what is meant to last longer is given no end.
const DAYS_MAX: u16 = 3_650;

/// What can be done with tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a token; it is shown this once, alone on stdout
    Add(Add),
    /// List the tokens: who has one, for what, until when and when it was used last; never the tokens themselves
    List(List),
    /// Revoke a token at once
    Revoke(Revoke),
}

/// The flags of `add`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("whose").args(["tenant", "operator_wide"]).required(true).multiple(true)),
          group(ArgGroup::new("what").args(["permission", "all_permissions"]).required(true).multiple(false)))]
pub(crate) struct Add {
    /// Who has it, as the audit will call them; 1 to 100 characters
    #[arg(long)]
    name: String,
    /// The only tenant that it opens
    #[arg(long, env = "MUSTER_TENANT")]
    tenant: Option<Uuid>,
    /// It opens every tenant, also those that come later; wins over MUSTER_TENANT
    #[arg(long)]
    operator_wide: bool,
    /// What it allows; may be given several times
    #[arg(long, value_parser = permission)]
    permission: Vec<Permission>,
    /// It allows everything
    #[arg(long)]
    all_permissions: bool,
    /// Good for so many days; absent = until it is revoked
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(DAYS_MAX)))]
    days: Option<u16>,
}

/// The flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// The flags of `revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Its id, see `muster token list`
    token_id: Uuid,
}

/// Does it and prints the result.
///
/// # Errors
/// What the database said; no such token.
pub(crate) async fn run(store: &Store, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add(flags) => add(store, flags).await,
        Command::List(flags) => {
            let (tokens, now) = (token::list(store).await?, store.database_now().await?);
            let mut out = io::stdout().lock();
            if flags.json {
                print_json(&mut out, &tokens)?
            } else {
                print_list(&mut out, &tokens, now)?
            }
            Ok(())
        }
        Command::Revoke(flags) => revoke(store, flags.token_id).await,
    }
}

async fn add(store: &Store, flags: Add) -> anyhow::Result<()> {
    let expires_at = match flags.days {
        Some(days) => Some(store.database_now().await? + TimeDelta::days(days.into())),
        None => None,
    };
    let new = NewToken {
        tenant: flags.tenant.filter(|_| !flags.operator_wide),
        name: flags.name,
        permissions: if flags.all_permissions { Permission::ALL.to_vec() } else { flags.permission },
        expires_at,
    };
    let permissions: Vec<String> = new.permissions.iter().map(ToString::to_string).collect();
    let entry = Entry {
        tenant: new.tenant,
        actor: actor(),
        action: "token.add",
        subject: Some(new.name.clone()),
        detail: json!({"permissions": permissions, "expires_at": new.expires_at}),
    };
    let (made, text) = token::add(store, &new, &entry).await?;
    eprintln!("token {} for {}: {}; it cannot be shown again", made.token_id, whose(&made), permissions.join(", "));
    writeln!(io::stdout().lock(), "{}", text.expose_secret())?;
    Ok(())
}

async fn revoke(store: &Store, token_id: Uuid) -> anyhow::Result<()> {
    let entry = Entry {
        tenant: None,
        actor: actor(),
        action: "token.revoke",
        subject: Some(token_id.to_string()),
        detail: json!({}),
    };
    let is_found = token::revoke(store, token_id, &entry).await?;
    ensure!(is_found, "token {token_id} is unknown; `muster token list` shows those that there are");
    Ok(())
}

/// Who the audit says did it: this command, by whom it was called.
pub(crate) fn actor() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    format!("muster ({user})")
}

fn permission(name: &str) -> Result<Permission, token::UnknownPermission> {
    name.parse()
}

fn whose(token: &Token) -> String {
    token.tenant.map_or_else(|| "every tenant".to_owned(), |tenant| format!("tenant {tenant}"))
}

/// `good`, or why it is not.
fn state(token: &Token, now: DateTime<Utc>) -> &'static str {
    match token {
        Token { revoked_at: Some(_), .. } => "revoked",
        Token { expires_at: Some(at), .. } if *at <= now => "expired",
        _ => "good",
    }
}

fn print_list(out: &mut impl Write, tokens: &[Token], now: DateTime<Utc>) -> io::Result<()> {
    for token in tokens {
        let day = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), |at| at.format("%F").to_string());
        let permissions: Vec<&str> = token.permissions.iter().map(|permission| permission.as_str()).collect();
        writeln!(
            out,
            "{}  {:<7}  until {:<10}  used {:<10}  {}  {}  {}",
            token.token_id,
            state(token, now),
            day(token.expires_at),
            day(token.last_used_at),
            whose(token),
            crate::show::safe(&token.name),
            permissions.join(",")
        )?;
    }
    Ok(())
}

fn print_json(out: &mut impl Write, tokens: &[Token]) -> io::Result<()> {
    let rows: Vec<serde_json::Value> = tokens
        .iter()
        .map(|token| {
            json!({"token_id": token.token_id, "tenant": token.tenant, "name": token.name,
                   "permissions": token.permissions.iter().map(|permission| permission.as_str()).collect::<Vec<_>>(),
                   "created_at": token.created_at, "expires_at": token.expires_at, "revoked_at": token.revoked_at,
                   "last_used_at": token.last_used_at})
        })
        .collect();
    writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)
}
