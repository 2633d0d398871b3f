//! `muster vault …`: a new key, which keys are in use, and sealing everything anew under the present one.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::bail;
use secrecy::ExposeSecret;
use store::Store;
use store::secret::{self, Row};
use vault::Vault;

/// Rows that are read, sealed and written at a time; each page is one transaction.
const PAGE_ROWS: u16 = 200;

/// What can be done with the vault.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print a new random key
    Key,
    /// Seal every secret anew under the present key; asked again it goes on where it ended
    ///
    /// To change the key: make one with `muster vault key`, start all programs with it as the present key and the one
    /// before in --vault-old-keys-file, run this, then start them without the old one.
    Rotate(Rotate),
    /// List the keys that secrets are sealed with, and how many secrets each
    Status(Status),
}

/// The flags of `rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// Open every secret and say what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    database: store::Config,
    #[command(flatten)]
    vault: vault::Config,
}

/// The flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    database: store::Config,
    #[command(flatten)]
    vault: vault::Config,
}

/// Does it and prints the result.
///
/// # Errors
/// No usable key; what the database said; secrets that no key here opens.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Key => Ok(writeln!(io::stdout(), "{}", vault::generate().expose_secret())?),
        Command::Rotate(flags) => {
            let vault = open(&flags.vault)?;
            let is_dry = flags.dry_run;
            crate::on_store(&flags.database, async |store| rotate(store, &vault, is_dry).await).await
        }
        Command::Status(flags) => {
            let vault = open(&flags.vault)?;
            crate::on_store(&flags.database, async |store| status(store, &vault).await).await
        }
    }
}

fn open(config: &vault::Config) -> anyhow::Result<Vault> {
    let vault = Vault::open(config)?;
    for warning in vault.warnings() {
        eprintln!("muster: {warning}");
    }
    Ok(vault)
}

async fn status(store: &Store, vault: &Vault) -> anyhow::Result<()> {
    let mut in_use: BTreeMap<String, i64> = secret::key_ids(store).await?.into_iter().collect();
    let mut out = io::stdout().lock();
    let held: Vec<&str> = vault.key_ids().collect();
    for (position, key_id) in held.iter().enumerate() {
        let secrets = in_use.remove(*key_id).unwrap_or_default();
        writeln!(out, "{key_id}  {:<7}  {secrets} secrets", if position == 0 { "present" } else { "old" })?;
    }
    for (key_id, secrets) in in_use {
        writeln!(out, "{key_id}  missing  {secrets} secrets, which no key here opens")?;
    }
    Ok(())
}

/// What became of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    sealed: u64,
    /// Set or deleted by somebody else between reading and writing: nothing of before is left in them.
    changed: u64,
    unreadable: u64,
}

async fn rotate(store: &Store, vault: &Vault, is_dry: bool) -> anyhow::Result<()> {
    let mut counts = Counts::default();
    let mut after = None;
    loop {
        let from = after.as_ref().map(|(tenant, name): &(_, String)| (*tenant, name.as_str()));
        let page = secret::page_under_other_keys(store, vault.key_id(), from, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.tenant, last.name.clone()));
        let resealed = reseal(vault, page, &mut counts);
        let rows = resealed.len() as u64;
        let sealed = if is_dry { rows } else { secret::replace(store, &resealed).await? };
        counts.sealed += sealed;
        counts.changed += rows - sealed;
    }
    report(&mut io::stdout().lock(), &counts, vault.key_id(), is_dry)?;
    if counts.unreadable > 0 {
        bail!("{} secrets could not be opened and are as they were; each is named above", counts.unreadable);
    }
    Ok(())
}

/// Seals each row of a page anew; names those that do not open.
fn reseal(vault: &Vault, page: Vec<Row>, counts: &mut Counts) -> Vec<(Row, secret::Sealed)> {
    let mut resealed = Vec::with_capacity(page.len());
    for row in page {
        let sealed = vault::Sealed { key_id: row.sealed.key_id.clone(), bytes: row.sealed.bytes.clone() };
        match vault.unseal(row.tenant, &row.name, &sealed) {
            Ok(text) => {
                let vault::Sealed { key_id, bytes } = vault.seal(row.tenant, &row.name, &text);
                resealed.push((row, secret::Sealed { key_id, bytes }));
            }
            Err(error) => {
                eprintln!("muster: {error}");
                counts.unreadable += 1;
            }
        }
    }
    resealed
}

fn report(out: &mut impl Write, counts: &Counts, key_id: &str, is_dry: bool) -> io::Result<()> {
    let verb = if is_dry { "would be sealed" } else { "sealed" };
    writeln!(
        out,
        "{} {verb} under key {key_id}, {} changed meanwhile, {} left as they were",
        counts.sealed, counts.changed, counts.unreadable
    )
}
