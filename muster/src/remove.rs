//! `muster tenant remove`: what a tenant leaves behind when it goes.

use std::io::{self, Write};

use anyhow::bail;
use store::Store;
use store::removal::{self, Fate, Rows};
use uuid::Uuid;

use crate::token::actor;

/// The flags of `remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// Do it; without this nothing is changed and only what would go is shown
    #[arg(long)]
    yes: bool,
    /// Delete from AlgaPSA's tables, too, what this integration made: its alerts, mappings, links, the software of its
    /// assets and the integration itself. Assets stay, since tickets and contracts refer to them, without what tells of
    /// Tactical
    #[arg(long)]
    with_algapsa_rows: bool,
}

/// Shows what would go, or removes it.
///
/// # Errors
/// What the database said; nothing is known of the tenant.
pub(crate) async fn run(store: &Store, flags: Remove) -> anyhow::Result<()> {
    let tenant = flags.tenant;
    let before = removal::preview(store, tenant, flags.with_algapsa_rows).await?;
    if before.is_empty() {
        bail!("nothing is known of tenant {tenant}; `muster tenant list` shows those that are connected");
    }
    let mut out = io::stdout().lock();
    if !flags.yes {
        print(&mut out, &before, ["would be deleted", "would be cleared", "would stay"])?;
        writeln!(out, "\nNothing was changed. The same with --yes removes it, and cannot be undone.")?;
        return Ok(());
    }
    let mut done = removal::remove(store, tenant, flags.with_algapsa_rows, &actor()).await?;
    let after = removal::preview(store, tenant, flags.with_algapsa_rows).await?;
    done.extend(after.into_iter().filter(|rows| rows.fate == Fate::Kept));
    print(&mut out, &done, ["deleted", "cleared", "stay"])?;
    writeln!(
        out,
        "\nTenant {tenant} is removed. Its messages that are still on their way are discarded when they come."
    )?;
    writeln!(
        out,
        "In Tactical, revoke the API key (or change the password) and take the two URL actions out of the alert"
    )?;
    writeln!(out, "template: Muster does not speak to Tactical for this.")?;
    Ok(())
}

fn print(out: &mut impl Write, all: &[Rows], words: [&str; 3]) -> io::Result<()> {
    let fates = [Fate::Deleted, Fate::Cleared, Fate::Kept];
    for (fate, word) in fates.into_iter().zip(words) {
        for rows in all.iter().filter(|rows| rows.fate == fate) {
            writeln!(out, "{word:<17} {:>10}  {}", rows.count, rows.table)?;
        }
    }
    Ok(())
}
