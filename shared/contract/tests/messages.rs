//! What `docs/MESSAGES.md` says of the events is made of the code; with `MUSTER_WRITE_MESSAGES=1` this test writes it.

use std::fmt::Write as _;
use std::path::PathBuf;

use contract::KINDS;
use contract::event::EVENTS;

const BEGIN: &str = "<!-- events: made by shared/contract/tests/messages.rs -->\n";
const END: &str = "<!-- events: end -->\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The types, then the data of each, then one event as it leaves.
fn section() -> String {
    let mut text = String::from("\n| type | sent when | subject |\n| --- | --- | --- |\n");
    for event in EVENTS {
        for (name, says) in event.types {
            writeln!(text, "| `{name}` | {says} | `{}` |", event.subject).expect("a text takes it");
        }
    }
    for event in EVENTS {
        let names: Vec<String> = event.types.iter().map(|(name, _)| format!("`{name}`")).collect();
        writeln!(text, "\n### Data of {}\n\n| field | type | says |\n| --- | --- | --- |", names.join(", "))
            .expect("a text takes it");
        for field in event.fields {
            let says = field.says.trim().trim_end_matches('.');
            writeln!(text, "| `{}` | {} | {says} |", field.name, field.json()).expect("a text takes it");
        }
    }
    let sample = std::fs::read_to_string(root().join("shared/contract/golden/event/rmm.asset.moved.json"))
        .expect("the sample exists");
    write!(text, "\n### One event, whole\n\n```json\n{sample}```\n").expect("a text takes it");
    text
}

#[test]
fn what_the_documentation_says_of_events_is_what_the_code_says() {
    let path = root().join("docs/MESSAGES.md");
    let page = std::fs::read_to_string(&path).expect("the page exists");
    let (before, rest) = page.split_once(BEGIN).expect("the page has the place where events begin");
    let (said, after) = rest.split_once(END).expect("and the one where they end");
    let section = section();
    if std::env::var_os("MUSTER_WRITE_MESSAGES").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{section}{END}{after}")).expect("it can be written");
        return;
    }
    assert!(
        said == section,
        "docs/MESSAGES.md is not the code's: run this test with MUSTER_WRITE_MESSAGES=1, commit it"
    );
}

#[test]
fn every_kind_stands_in_the_documentation() {
    let page = std::fs::read_to_string(root().join("docs/MESSAGES.md")).expect("the page exists");
    for kind in KINDS {
        let target = format!("{}.{}", kind.worker.as_str(), kind.lane);
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", kind.name)));
        assert!(row.is_some_and(|row| row.contains(&target)), "{} → {target} is not in docs/MESSAGES.md", kind.name);
    }
}
