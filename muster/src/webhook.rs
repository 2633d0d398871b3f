//! `muster webhook …`, and what a webhook looks like to the person who sets it up in Tactical.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::hook::{self, Change, GRACE_S, GRACE_S_MAX, Rotation};
use store::pepper;
use url::Url;
use uuid::Uuid;

use crate::secret::read_webhook_secret;
use crate::token::actor;

pub(crate) use contract::webhook::{FAILURE_BODY, HEADER, RESOLVED_BODY};

/// What can be done with webhooks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Replace a tenant's webhook secret; the present one stays good for a while
    ///
    /// Prints the new secret, this once. While the secret before the present one is still good, it refuses: see --force.
    Rotate(Rotate),
}

/// The flags of `rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// File with the new secret; made when absent
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// How long the present secret stays good, in seconds; 0 where it has leaked
    #[arg(long, default_value_t = GRACE_S, value_parser = clap::value_parser!(u64).range(0..=GRACE_S_MAX))]
    grace_s: u64,
    /// Also while the secret before the present one is still good, which then ends at once
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pepper: pepper::Config,
}

/// Does it and prints the result.
///
/// # Errors
/// What the database said; a tenant without a hook.
pub(crate) async fn run(store: &Store, command: Command) -> anyhow::Result<()> {
    let Command::Rotate(flags) = command;
    let pepper = flags.pepper.read().map_err(anyhow::Error::msg)?;
    let secret = match &flags.secret_file {
        Some(path) => read_webhook_secret(path)?,
        None => hook::generate_secret().into(),
    };
    let digest = hook::digest(pepper.expose_secret().as_bytes(), secret.expose_secret());
    let hook = hook::find(store, flags.tenant)
        .await?
        .with_context(|| format!("tenant {} has no webhook; `muster tenant connect` makes one", flags.tenant))?;
    let rotation = Rotation { grace: Duration::from_secs(flags.grace_s), is_forced: flags.force };
    let entry = Entry {
        tenant: Some(flags.tenant),
        actor: actor(),
        action: "webhook.rotate",
        subject: None,
        detail: json!({ "grace_s": flags.grace_s, "force": flags.force }),
    };
    let change = hook::rotate(store, flags.tenant, hook.integration_id, &digest, rotation, &entry).await?;
    let mut out = io::stdout().lock();
    match change {
        Change::UnderWay { previous_valid_until } => bail!(under_way(previous_valid_until)),
        Change::Unchanged => writeln!(out, "unchanged: this is the present secret")?,
        Change::Created => writeln!(out, "{HEADER}: {}", secret.expose_secret())?,
        Change::Rotated { previous_valid_until } => {
            writeln!(out, "{HEADER}: {}", secret.expose_secret())?;
            writeln!(out, "the secret before is good until {}", previous_valid_until.format("%F %T UTC"))?;
        }
    }
    Ok(())
}

/// Why a secret is not replaced, and what to do.
pub(crate) fn under_way(until: DateTime<Utc>) -> String {
    format!(
        "a rotation is under way until {}: the secret before the present one is good until then and may be the one that \
         Tactical sends; enter the present one in both URL actions and wait, or cut the older one off with `muster webhook \
         rotate --force`",
        until.format("%F %T UTC")
    )
}

/// Where Tactical sends a tenant's webhooks.
#[must_use]
pub(crate) fn url(gateway: &Url, tenant: Uuid) -> Url {
    let mut url = gateway.clone();
    let path = format!("{}{}", gateway.path().trim_end_matches('/'), contract::webhook::PATH);
    url.set_path(&path);
    url.set_query(Some(&format!("tenant={tenant}")));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_gateways_with_the_contracts_path() {
        for (gateway, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/webhooks/tacticalrmm?tenant="),
            ("https://hooks.example.com/", "https://hooks.example.com/api/webhooks/tacticalrmm?tenant="),
            ("https://example.com/muster/", "https://example.com/muster/api/webhooks/tacticalrmm?tenant="),
        ] {
            let url = url(&gateway.parse().unwrap(), Uuid::nil());
            assert_eq!(url.as_str(), format!("{expected}{}", Uuid::nil()));
        }
    }
}
