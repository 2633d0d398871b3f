//! Holds the field names that the workspace's sources write out against the declared ones.

use std::path::{Path, PathBuf};

use super::ALL;

/// Where `tracing` takes fields: its macros, and the `fields` of its attribute.
const MACROS: [&str; 13] = [
    "trace!(",
    "debug!(",
    "info!(",
    "warn!(",
    "error!(",
    "event!(",
    "span!(",
    "trace_span!(",
    "debug_span!(",
    "info_span!(",
    "warn_span!(",
    "error_span!(",
    "fields(",
];

#[test]
fn every_dotted_field_name_in_the_workspace_is_declared() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.iter().any(|file| file.ends_with("shared/telemetry/src/probe.rs")), "the sources are found");
    let mut unknown = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for name in names(&text).filter(|name| !ALL.contains(&name.as_str())) {
            unknown.push(format!("{}: {name}", file.display()));
        }
    }
    assert!(unknown.is_empty(), "declare these in telemetry/src/field.rs:\n{}", unknown.join("\n"));
}

#[test]
fn names_are_found_where_tracing_takes_them() {
    let text = r#"
        info!(job.kind = %kind, tenant.id, "text, a.b = {}", x.y == 1, f(c.d = 2));
        let s = info_span!("process \" alert.id = 1", target: "x", ?agent.id, plain = 1, a.b.c
            = self.x.len());
        alert.severity = 3; println!(q.w = 1);
        #[instrument(skip_all, fields(run.id = %id))] fn f() { span!(Level::INFO, "x", run.epoch = 1); }
    "#;
    let found: Vec<_> = names(text).collect();
    assert_eq!(found, ["job.kind", "run.epoch", "a.b.c", "run.id"]);
}

#[test]
fn a_name_is_declared_once() {
    let names: std::collections::BTreeSet<_> = ALL.iter().collect();
    assert_eq!(names.len(), ALL.len());
}

/// Our `.rs` files: what is built or vendored (`target`, hidden folders) is not read.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.') || name == "target";
        if entry.file_type().unwrap().is_dir() && !hidden {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "field_tidy.rs" {
            files.push(path);
        }
    }
}

/// The dotted names before a `=` at the top level of the macros' arguments.
fn names(text: &str) -> impl Iterator<Item = String> {
    MACROS.iter().flat_map(|name| text.match_indices(name)).flat_map(|(at, name)| {
        // `span!(` also ends `info_span!(`
        let own = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let arguments = if own { Vec::new() } else { arguments(&text[at + name.len()..]) };
        arguments.into_iter().filter_map(|argument| dotted_name(&argument))
    })
}

/// Splits at the commas of the top level, up to the closing parenthesis; string literals become empty.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut arguments = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if quoted && escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ')' | ']' | '}' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => arguments.push(String::new()),
            _ if depth == 0 => arguments.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    arguments
}

fn dotted_name(argument: &str) -> Option<String> {
    let (name, value) = argument.split_once('=')?;
    let name = name.trim();
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    (is_name && name.contains('.') && !value.starts_with('=')).then(|| name.to_owned())
}
