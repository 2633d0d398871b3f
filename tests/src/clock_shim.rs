//! Programs whose clock is wrong: they are started with a library of a few lines before the C library (`LD_PRELOAD`), in which
//! the real-time clock is off; `fixtures/clock-shim.rs`, built here. Linux' time namespaces cannot shift that clock.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that says by how many seconds the clock is off, beside `LD_PRELOAD`.
pub const OFFSET: &str = "CLOCK_SHIM_OFFSET_S";

/// Builds the library in a folder, and answers where it is.
///
/// # Panics
/// If there is no compiler.
#[must_use]
pub fn build(folder: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/clock-shim.rs");
    let library = folder.join("libclock_shim.so");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .output()
        .expect("where tests are built there is a compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}
