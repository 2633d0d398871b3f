//! Runs one case on a thread and a runtime of its own: a panic in it is a row that failed, and nothing else.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Case, Ground, Length, Report};

/// Runs a case. Its programs' logs go to a folder below `logs`, which is removed where nothing is wrong.
///
/// # Panics
/// If the folder, the thread or the runtime cannot be made.
#[must_use]
pub fn run(case: &'static Case, seed: u64, length: Length, logs: &Path) -> Report {
    on_ground(case, Ground { seed, length, logs: folder(case, seed, logs) })
}

fn folder(case: &Case, seed: u64, logs: &Path) -> PathBuf {
    let folder = logs.join(format!("{}-{seed}", case.name));
    // what an earlier run of the same name left says nothing of this one
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
    folder
}

fn on_ground(case: &'static Case, ground: Ground) -> Report {
    let Ground { seed, length, logs } = ground.clone();
    let began = Instant::now();
    let acting = std::thread::Builder::new().name(case.name.to_owned()).spawn(move || {
        // two threads beside this one: the fleet's end blocks, and the proxies that its programs hang on must go on
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a process can have a runtime").block_on((case.act)(ground))
    });
    let outcome = acting.expect("a process can start a thread").join().map_err(said);
    let report = Report { case, seed, length, outcome, took: began.elapsed(), logs };
    if report.is_passed() {
        let _ = std::fs::remove_dir_all(&report.logs);
    }
    report
}

/// What a panic said.
fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked without a text".to_owned())
}
