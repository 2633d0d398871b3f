//! `muster tenant …`: who may send webhooks, until the console does it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::connection;
use store::hook::{self, Change, HookState};
use store::pepper;
use store::tenant::{self, Connected, Listed, NewConnection};
use url::Url;
use uuid::Uuid;

use crate::remove::{self, Remove};
use crate::secret::read_webhook_secret;
use crate::token::actor;
use crate::webhook;

/// What can be done with tenants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Connect a tenant's Tactical: makes what is absent, asked again it changes nothing
    ///
    /// Prints what to enter in Tactical. Without --secret-file a secret is made where there is none, and shown this once.
    Connect(Box<Connect>),
    /// List the connected tenants
    List,
    /// Suspend a tenant: its webhooks are answered and not recorded
    Suspend(One),
    /// End a suspension
    Resume(One),
    /// Disconnect a tenant's Tactical, as `muster disconnect` does: its secrets are deleted, its syncs end, its webhooks are
    /// answered and not recorded; mappings and assets stay
    Disconnect(One),
    /// Remove a tenant that leaves: its secrets, hooks, tokens, runs and all other rows that are Muster's own; without --yes
    /// only shows what would go
    ///
    /// Its webhooks are refused from the next reload of the hooks on, and its messages that are still on their way are discarded
    /// when they come. What it did stays in the audit for as long as that is kept, with who removed it. AlgaPSA's tables
    /// stay as they are, unless --with-algapsa-rows is given; tenant and clients always do. Ended half-way, it goes on where
    /// it was when it is run again.
    Remove(Remove),
}

/// The flags of `connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// Name of a client of the tenant; made where the tenant has none yet
    #[arg(long)]
    name: String,
    /// Make a client of this name also where the tenant has others
    #[arg(long)]
    add_client: bool,
    /// Where Tactical reaches the ingest gateway, e.g. `https://hooks.example.com`
    #[arg(long, env = "MUSTER_GATEWAY_URL")]
    gateway_url: Url,
    /// Tactical's API host, e.g. `https://api.example.com`, for a first time; `muster connect --url` tests and changes it
    #[arg(long)]
    instance_url: Option<String>,
    /// File with the webhook secret to use; one that differs from the present one replaces it, see `webhook rotate`
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// Print `KEY=value` lines only
    #[arg(long)]
    env: bool,
    #[command(flatten)]
    pepper: pepper::Config,
}

/// The flags of what concerns one tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
}

/// Does it and prints the result.
///
/// # Errors
/// What the database said; no such tenant.
pub(crate) async fn run(store: &Store, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Connect(flags) => connect(store, *flags).await,
        Command::List => Ok(print_list(&mut io::stdout().lock(), &tenant::list(store).await?)?),
        Command::Suspend(one) => found(one.tenant, tenant::set_suspended(store, one.tenant, true, &actor()).await?),
        Command::Resume(one) => found(one.tenant, tenant::set_suspended(store, one.tenant, false, &actor()).await?),
        Command::Disconnect(one) => disconnect(store, one.tenant).await,
        Command::Remove(flags) => remove::run(store, flags).await,
    }
}

async fn disconnect(store: &Store, tenant: Uuid) -> anyhow::Result<()> {
    let entry = Entry {
        tenant: Some(tenant),
        actor: actor(),
        action: "integration.disconnect",
        subject: None,
        detail: json!({}),
    };
    let is_found = connection::disconnect(store, tenant, &entry).await?;
    ensure!(is_found, "tenant {tenant} has no connection; `muster tenant list` shows those that are connected");
    eprintln!("disconnected: the secrets of Tactical are deleted, webhooks are not recorded; mappings and assets stay");
    Ok(())
}

fn found(tenant: Uuid, is_found: bool) -> anyhow::Result<()> {
    ensure!(is_found, "tenant {tenant} is unknown; `muster tenant list` shows those that are connected");
    Ok(())
}

async fn connect(store: &Store, flags: Connect) -> anyhow::Result<()> {
    let instance_url = flags.instance_url.as_deref().map(api_host).transpose()?;
    let pepper = flags.pepper.read().map_err(anyhow::Error::msg)?;
    // a mistyped name would leave a client in the PSA that nobody wanted
    ensure!(
        flags.add_client || tenant::has_client(store, flags.tenant, &flags.name).await? != Some(false),
        "tenant {} has clients and none of the name `{}`: correct --name, or make one more with --add-client",
        flags.tenant,
        flags.name
    );
    let secret = match &flags.secret_file {
        Some(path) => Some(read_webhook_secret(path)?),
        None if hook::find(store, flags.tenant).await?.is_none() => Some(hook::generate_secret().into()),
        // it stands already, and only its digest is known
        None => None,
    };
    let digest = secret.as_ref().map(|secret| hook::digest(pepper.expose_secret().as_bytes(), secret.expose_secret()));
    let connection = NewConnection {
        tenant: flags.tenant,
        client_name: flags.name,
        instance_url,
        digest,
        grace: Duration::from_secs(hook::GRACE_S),
    };
    let connected = tenant::connect(store, &connection, &actor()).await?;
    if let Some(Change::UnderWay { previous_valid_until }) = connected.hook {
        bail!(webhook::under_way(previous_valid_until));
    }
    let sheet = Sheet { connected: &connected, url: webhook::url(&flags.gateway_url, flags.tenant), secret };
    let mut out = io::stdout().lock();
    if flags.env {
        sheet.print_env(&mut out)?
    } else {
        sheet.print(&mut out)?
    }
    Ok(())
}

/// The URL of an API host as it is stored, if the text is one and nothing more: a path or a query leads past the API, and
/// what stands before an `@` is a secret. Repeats nothing of the text.
fn api_host(text: &str) -> anyhow::Result<String> {
    const EXPECTED: &str = "give the API host's address and nothing more, such as https://api.example.com";
    // the parser would drop tabs and newlines, and take a backslash for a slash
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let url = Url::parse(text).ok().filter(|_| !text.contains(is_odd));
    let Some(url) = url else { bail!("--instance-url is not a URL: {EXPECTED}") };
    let has_user = !url.username().is_empty() || url.password().is_some();
    ensure!(
        matches!(url.scheme(), "http" | "https"),
        "--instance-url begins with neither https:// nor http://: {EXPECTED}"
    );
    ensure!(!has_user, "--instance-url holds a user name or a password: {EXPECTED}");
    ensure!(url.path() == "/", "--instance-url has a path: {EXPECTED}");
    ensure!(url.query().is_none(), "--instance-url has a query: {EXPECTED}");
    ensure!(url.fragment().is_none(), "--instance-url has a fragment: {EXPECTED}");
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What a person has to enter in Tactical.
struct Sheet<'a> {
    connected: &'a Connected,
    url: Url,
    secret: Option<SecretString>,
}

impl Sheet<'_> {
    fn print_env(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "MUSTER_TENANT={}", self.connected.tenant)?;
        writeln!(out, "MUSTER_INTEGRATION={}", self.connected.integration_id)?;
        writeln!(out, "MUSTER_WEBHOOK_URL={}", self.url)?;
        writeln!(out, "MUSTER_WEBHOOK_HEADER={}", webhook::HEADER)?;
        match &self.secret {
            Some(secret) => writeln!(out, "MUSTER_WEBHOOK_SECRET={}", secret.expose_secret()),
            None => Ok(()),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "tenant         {}", self.connected.tenant)?;
        writeln!(out, "integration    {}", self.connected.integration_id)?;
        writeln!(out, "client         {}", self.connected.client_id)?;
        writeln!(out, "\nIn Tactical, two URL actions of type REST, method POST:")?;
        writeln!(out, "URL            {}", self.url)?;
        match &self.secret {
            Some(secret) => writeln!(out, "header         {}: {}", webhook::HEADER, secret.expose_secret())?,
            None => writeln!(out, "header         {}: the secret stays as it is", webhook::HEADER)?,
        }
        writeln!(out, "failure body   {}", webhook::FAILURE_BODY)?;
        writeln!(out, "resolved body  {}", webhook::RESOLVED_BODY)?;
        match &self.secret {
            Some(_) => writeln!(out, "\nThe secret is kept as a hash and cannot be shown again."),
            None => Ok(()),
        }
    }
}

fn print_list(out: &mut impl Write, listed: &[Listed]) -> io::Result<()> {
    for one in listed {
        let state = match one.state {
            HookState::Active => "active",
            HookState::Inactive => "disconnected",
            HookState::Suspended => "suspended",
        };
        let rotated =
            one.rotated_at.map_or_else(|| "no secret".to_owned(), |at| format!("secret of {}", at.format("%F %T UTC")));
        writeln!(out, "{}  {state:<12}  {rotated}  {}", one.tenant, one.instance_url.as_deref().unwrap_or("-"))?;
    }
    Ok(())
}
