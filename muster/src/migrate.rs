//! `muster migrate`: one deliberate step, never a side effect of a start.

use std::io::{self, Write};

use store::Store;
use store::migrate::{self, State};

/// Applies what is missing and says what it found: one line a migration, then the sum.
///
/// # Errors
/// What the database said, or that it is ahead of this version.
pub(crate) async fn run(store: &Store) -> anyhow::Result<()> {
    let before = migrate::state(store).await?;
    migrate::run(store).await?;
    let after = migrate::state(store).await?;
    report(&mut io::stdout().lock(), &before, &after)?;
    Ok(())
}

fn report(out: &mut impl Write, before: &State, after: &State) -> io::Result<()> {
    let applied: Vec<i64> = before.behind.iter().copied().filter(|version| after.applied.contains(version)).collect();
    for version in &applied {
        writeln!(out, "applied {version:04}")?;
    }
    writeln!(
        out,
        "{} applied now, {} of {} known migrations in place",
        applied.len(),
        after.applied.len(),
        after.known.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(applied: &[i64], behind: &[i64]) -> State {
        let known = applied.iter().chain(behind).copied().collect();
        State { applied: applied.to_vec(), known, ahead: vec![], behind: behind.to_vec(), changed: vec![] }
    }

    fn said(before: &State, after: &State) -> String {
        let mut out = Vec::new();
        report(&mut out, before, after).expect("a vector takes everything");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn the_report_names_each_migration_that_was_applied_now() {
        let text = said(&state(&[1], &[2, 3]), &state(&[1, 2, 3], &[]));
        assert_eq!(text, "applied 0002\napplied 0003\n2 applied now, 3 of 3 known migrations in place\n");
    }

    #[test]
    fn a_second_run_reports_that_nothing_was_to_do() {
        let text = said(&state(&[1, 2], &[]), &state(&[1, 2], &[]));
        assert_eq!(text, "0 applied now, 2 of 2 known migrations in place\n");
    }
}
