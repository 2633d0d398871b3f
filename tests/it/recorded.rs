//! Where the recordings of a real server lie, and the hand-written fixtures that stand in for them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// One row of `index.md`: a request and what was answered.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) file: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Headers of the request beside the key.
    pub(crate) headers: Vec<(String, String)>,
    /// `:18001` = beta off, `:18002` = NATS down.
    pub(crate) port: Option<String>,
    pub(crate) key: String,
    pub(crate) body: String,
    pub(crate) status: u16,
    pub(crate) noted_headers: Vec<(String, String)>,
    pub(crate) answer: String,
}

/// The folder of recordings, or (with one loud line) that of the fixtures.
pub(crate) fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let wanted = std::env::var("MUSTER_RECORDED").unwrap_or_else(|_| "../shared/recorded/tactical".to_owned());
    let recorded = root.join(wanted);
    if recorded.join("index.md").exists() {
        return recorded;
    }
    // written past the harness's capture, so that a passing run shows it too
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let place = recorded.display();
        let line = format!(
            "!!! NO RECORDINGS AT {place} (MUSTER_RECORDED): simulator and client are only held against the fixtures"
        );
        writeln!(std::io::stderr(), "{line}").expect("stderr can be written");
    });
    fixtures()
}

/// The hand-kept fixtures of the same shape.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tactical")
}

/// Every exchange of a folder, in order.
pub(crate) fn exchanges(folder: &Path) -> Vec<Exchange> {
    let index = std::fs::read_to_string(folder.join("index.md")).expect("the folder has an index");
    let rows: Vec<Exchange> = index.lines().filter_map(|line| exchange(folder, line)).collect();
    assert!(!rows.is_empty(), "{} holds no exchange", folder.display());
    rows
}

fn exchange(folder: &Path, line: &str) -> Option<Exchange> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").map(str::trim).collect();
    let file = *cells.first().filter(|file| file.ends_with(".json") || file.ends_with(".html"))?;
    let (method, rest) = cells[1].split_once(" `").expect("a request is a method and a path in backticks");
    let (path, more) = rest.split_once('`').expect("the path ends with a backtick");
    let headers =
        more.trim().strip_prefix('{').and_then(|more| more.strip_suffix('}')).map(python_pairs).unwrap_or_default();
    let noted = cells[5]
        .split("; ")
        .filter_map(|header| header.split_once(": "))
        .filter(|(name, _)| !["Transfer-Encoding", "Content-Type"].contains(name));
    Some(Exchange {
        file: file.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        port: more.trim().strip_prefix(':').map(str::to_owned),
        key: cells[2].to_owned(),
        body: cells[3].to_owned(),
        status: cells[4].parse().expect("the fifth cell is a status"),
        noted_headers: noted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        answer: std::fs::read_to_string(folder.join(file)).expect("the index names files that exist"),
    })
}

/// `'Authorization': 'Bearer x', …` as pairs.
fn python_pairs(text: &str) -> Vec<(String, String)> {
    let unquote = |text: &str| text.trim().trim_matches('\'').to_owned();
    text.split("', '")
        .filter_map(|pair| pair.split_once("': '"))
        .map(|(name, value)| (unquote(name), unquote(value)))
        .collect()
}
