//! The fault suite: one fault at a time done to a whole fleet under load, and after each the same eight invariants.
//!
//! A case is an async function and a line in its file's `CASES`; a file of cases is a line in `GROUPS`:
//!
//! ```no_run
//! use tests::Fleet;
//! use tests::faults::{Ground, Outcome, Trial};
//!
//! async fn worker_killed(ground: Ground) -> Outcome {
//!     let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
//!     trial.load(100, 600);
//!     trial.under_way(200).await;
//!     trial.kill_worker(0);
//!     trial.healed().await;
//!     trial.finish().await
//! }
//! ```
//!
//! The load goes on while the case does its harm. [`Trial::healed`] is called where the fault ends: it waits until all that
//! was answered 2xx so far is reflected, and that time is the recovery. [`Trial::finish`] ends the load and checks the rest
//! ([`checks`]). A case has no failpoint in the product to help it: it makes its moment from outside, with the proxies of a
//! [`Victim`], a lock of a session of its own, SIGSTOP, or by watching rows and queues. It never asserts a time; limits
//! stand in its line and are compared by the program `faults` only.
//!
//! - Random things follow from [`Ground::seed`], lengths from [`Ground::pick`]: a short one every day, a long one in the program.
//! - What a case breaks in a server that others use, it must mend; where it cannot, it asks for a private one
//!   ([`crate::fleet::Builder::private_broker`], [`crate::fleet::Builder::private_postgres`]), which costs ten seconds or two.
//! - Poison that it plants it tells by [`Trial::expect_parked`].

mod broker;
pub mod checks;
mod clocks;
mod ending;
mod facts;
mod gateway;
mod leader;
mod load;
mod look;
mod order;
mod poison;
mod postgres;
mod report;
mod run;
mod side;
mod soak;
mod syncs;
mod tactical;
mod trial;
mod versions;
mod workers;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

pub use facts::{Answered, Fact, Facts, Rows, Seen};
pub use report::{Report, table};
pub use run::run;
pub use side::Side;
pub use soak::{MINUTES_MIN as SOAK_MINUTES_MIN, SOAK};
pub use trial::{Outcome, Trial, Victim};

/// Every case, by the files that hold them.
const GROUPS: &[&[Case]] = &[
    workers::CASES,
    order::CASES,
    clocks::CASES,
    poison::CASES,
    broker::CASES,
    leader::CASES,
    postgres::CASES,
    gateway::CASES,
    tactical::CASES,
    syncs::CASES,
    versions::CASES,
];

/// The longest recovery from a fault that no other limit is promised of (pipeline §12).
const RECOVERY_MAX: Duration = Duration::from_secs(15);

/// A fault, and what is done to a fleet to show it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What `--case` takes: `worker-killed-in-transaction`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Whether it is a test of `./dev test`, too.
    pub is_everyday: bool,
    /// The longest recovery after it.
    pub recovery_max: Duration,
    act: Act,
}

type Act = fn(Ground) -> Pin<Box<dyn Future<Output = Outcome>>>;

impl Case {
    /// A case of the program.
    const fn new(name: &'static str, about: &'static str, act: Act) -> Self {
        Self { name, about, is_everyday: false, recovery_max: RECOVERY_MAX, act }
    }

    /// It is a test of `./dev test`, too.
    const fn everyday(self) -> Self {
        Self { is_everyday: true, ..self }
    }

    /// Another limit of its recovery than 15 s.
    const fn recovers_within_s(self, seconds: u64) -> Self {
        Self { recovery_max: Duration::from_secs(seconds), ..self }
    }
}

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// In `./dev test`.
    Short,
    /// In the program.
    Long,
    /// A soak of so many minutes.
    Soak(u64),
}

/// What a case stands on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// How long it may take.
    pub length: Length,
    /// Where the programs' logs go; there is such a folder.
    pub logs: PathBuf,
}

impl Ground {
    /// One of two lengths: the short one every day, the long one in the program.
    #[must_use]
    pub fn pick<T>(&self, short: T, long: T) -> T {
        if self.length == Length::Short { short } else { long }
    }
}

/// Every case there is, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

/// The case of that name, else those whose names begin so.
#[must_use]
pub fn named(prefix: &str) -> Vec<&'static Case> {
    let exact = all().find(|case| case.name == prefix);
    exact.map_or_else(|| all().filter(|case| case.name.starts_with(prefix)).collect(), |case| vec![case])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_whole_name_names_its_case_alone_and_a_beginning_all_that_begin_so() {
        let names = |prefix| named(prefix).iter().map(|case| case.name).collect::<Vec<_>>();
        assert_eq!(names("broker-killed"), ["broker-killed"]);
        assert_eq!(names("broker-kill"), ["broker-killed", "broker-killed-after-declare"]);
    }

    #[test]
    fn a_name_is_one_cases_own() {
        let names: BTreeSet<&str> = all().map(|case| case.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(
            names
                .iter()
                .all(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || "-0123456789".contains(letter)))
        );
    }
}
