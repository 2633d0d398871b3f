//! The house's rules about text, as far as a machine can read them.

use std::path::Path;

use tests::faults;

/// A file's usual ceiling.
const LINES_MAX: usize = 400;
/// Files that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];
/// Folders that are not ours to read: built, generated, or a machine's own.
const SKIPPED: &[&str] = &["target", ".git", ".muster", "corpus", "artifacts", "proptest-regressions"];
/// Says what shows each promise.
const RELIABILITY: &str = "docs/RELIABILITY.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Every file below a folder whose name ends so, with its path from the root.
fn files(folder: &Path, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name.as_str()) {
            found.extend(files(&path, endings));
        } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            found.push((relative(&path), std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("it lies below the root").display().to_string()
}

/// Fails with all of them at once.
fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_first_line_of_every_file_says_what_it_holds() {
    let found: Vec<String> = files(root(), &[".rs"])
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, text)| format!("{path}: {}", text.lines().next().unwrap_or_default()))
        .collect();
    none(&found, "line 1 is `//! ` and one sentence");
}

#[test]
fn no_file_is_longer_than_the_ceiling() {
    let found: Vec<String> = files(root(), &[".rs", ".sh"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(path, lines)| *lines > LINES_MAX && !LONGER.iter().any(|(longer, _)| longer == path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none(&found, "a file has 400 lines at most, or stands in LONGER with its reason");
    for (path, reason) in LONGER {
        assert!(root().join(path).is_file() && !reason.is_empty(), "{path} is gone: remove its line");
    }
}

/// cargo-deny cannot say it: a crate without wrappers is banned for good, and a wrapper that is not there is warned of.
#[test]
fn no_package_depends_on_the_harness() {
    let manifests = files(root(), &["Cargo.toml"]);
    let depends = |text: &str| text.lines().any(|line| line.starts_with("tests.") || line.starts_with("tests ="));
    let found: Vec<String> = manifests.iter().filter(|it| depends(&it.1)).map(|it| it.0.clone()).collect();
    none(&found, "nothing depends on `tests`");
    assert!(manifests.len() > 10, "the test no longer finds the manifests");
}

#[test]
fn every_metric_that_is_recorded_is_declared() {
    let mut recorded = 0;
    let mut found = Vec::new();
    // telemetry's own tests record what nobody declares
    for (path, text) in files(root(), &[".rs"]).into_iter().filter(|(path, _)| !path.starts_with("shared/telemetry/")) {
        for macro_name in ["counter!(", "gauge!(", "histogram!("] {
            for (at, _) in text.match_indices(macro_name) {
                let Some(name) = literal(&text[at + macro_name.len()..]) else { continue };
                recorded += 1;
                if name.starts_with("muster_") && !telemetry::metric::ALL.iter().any(|metric| metric.name == name) {
                    found.push(format!("{path}: {name}"));
                }
            }
        }
    }
    none(&found, "a metric is declared in telemetry/src/metric.rs");
    assert!(recorded > 3, "the test no longer finds where metrics are recorded");
}

#[test]
fn every_metric_that_is_declared_is_recorded() {
    let declaration = "shared/telemetry/src/metric.rs";
    let texts = files(root(), &[".rs"]);
    let (_, declared) = texts.iter().find(|(path, _)| path == declaration).expect("metrics are declared there");
    let is_code = |path: &str| path.contains("/src/") && !path.starts_with("tests/") && path != declaration;
    let code: Vec<&str> = texts.iter().filter(|(path, _)| is_code(path)).map(|(_, text)| text.as_str()).collect();
    let found: Vec<String> = telemetry::metric::ALL
        .iter()
        .filter(|metric| {
            let literal = format!("\"{}\"", metric.name);
            let line = declared.lines().find(|line| line.contains(&literal)).expect("it is declared in one line");
            let constant = line.split('=').next().unwrap_or_default().trim();
            let is_used = |text: &&str| text.contains(&literal) || text.contains(&format!("metric::{constant}"));
            !code.iter().any(is_used)
        })
        .map(|metric| metric.name.to_owned())
        .collect();
    none(&found, "what is declared is recorded");
}

/// The string literal that a text begins with.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

#[test]
fn no_file_names_a_machines_own_folders() {
    // put together here, so that this file is none of them
    let folders = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let texts = files(root(), &[".rs", ".toml", ".md", ".sql", ".sh", ".json", ".yml", ".conf", ".service", ".txt"]);
    let mut found = Vec::new();
    for (path, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let is_named = |folder: &String| {
                // not a part of a longer path or of a URL
                line.match_indices(folder.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || "./}>:-_".contains(before))
                })
            };
            if folders.iter().any(is_named) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(&found, "what is committed knows no machine");
}

#[test]
fn each_outside_system_is_spoken_to_by_one_crate() {
    for (library, homes) in [
        ("sqlx", ["shared/store/", "tests/"].as_slice()),
        ("lapin", &["shared/broker/", "tests/"]),
        // the gateway's own tests speak HTTP to it
        ("reqwest", &["shared/tactical/", "muster/", "tests/", "ingest-gateway/tests/"]),
        ("backoff", &["shared/broker/", "shared/worker/"]),
    ] {
        let used: Vec<String> = files(root(), &[".rs"])
            .into_iter()
            .filter(|(path, _)| !homes.iter().any(|home| path.starts_with(home)))
            .filter(|(_, text)| uses(text, library))
            .map(|(path, _)| path)
            .collect();
        none(&used, &format!("{library} stays in {homes:?}"));
    }
}

#[test]
fn one_program_migrates() {
    let homes = ["shared/store/", "muster/src/", "tests/"];
    let others =
        files(root(), &[".rs"]).into_iter().filter(|(path, _)| !homes.iter().any(|home| path.starts_with(home)));
    let found: Vec<String> = others.filter(|(_, text)| text.contains("migrate::")).map(|(path, _)| path).collect();
    none(&found, "migrations run by `muster migrate`, never as a side effect of a start");
}

/// `library::` in code, not in a comment; manifests are `cargo deny`'s.
fn uses(text: &str, library: &str) -> bool {
    let path = format!("{library}::");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
        })
    })
}

#[test]
fn every_case_stands_on_the_page_about_faults_and_every_proof_there_is_one() {
    let page = std::fs::read_to_string(root().join(RELIABILITY)).expect("the page is there");
    let absent: Vec<String> = faults::all()
        .filter(|case| !page.contains(&format!("`{}`", case.name)))
        .map(|case| format!("{RELIABILITY} lacks {}", case.name))
        .collect();
    none(&absent, "the page has every case of the suite");
    let proofs: Vec<&str> = page.lines().flat_map(quoted_last).collect();
    let gone: Vec<String> = proofs.iter().filter(|proof| !is_there(proof)).map(|proof| (*proof).to_owned()).collect();
    none(&gone, "what the page names as a proof is a case, a file, `file::test`, or a command of ./dev");
    assert!(proofs.len() > 100, "the test no longer finds the proofs");
}

/// What stands in backticks in the last column of a table's row.
fn quoted_last(line: &str) -> impl Iterator<Item = &str> {
    let row = line.strip_prefix('|').and_then(|row| row.trim_end().strip_suffix('|'));
    let last = row.and_then(|row| row.rsplit('|').next()).unwrap_or_default();
    last.split('`').skip(1).step_by(2)
}

fn is_there(proof: &str) -> bool {
    match proof.split_once("::") {
        Some((path, test)) => std::fs::read_to_string(root().join(path)).is_ok_and(|text| is_a_test(&text, test)),
        None => {
            let is_case = faults::all().any(|case| case.name == proof);
            is_case || proof.starts_with("./dev ") || root().join(proof).is_file()
        }
    }
}

/// Whether an attribute for tests, of whatever runner, stands above such a function.
fn is_a_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let before = before.trim_end().trim_end_matches("async");
    let mut above = before.trim_end().lines().rev().map(str::trim).take_while(|line| !line.is_empty() && *line != "}");
    above.any(|line| line.starts_with("#[") && line.contains("test"))
}
