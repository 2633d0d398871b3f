//! The hooks on local disk, so that a restart while Postgres is away still knows them.
//!
//! One file: a line `muster-hooks <format> <sha256 of the rest>`, then JSON. It is replaced as a whole (written beside,
//! synced, renamed) and read by its owner only. Digests stand in it, never a secret. What is not whole counts as none.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::hook::Snapshot;

/// The file's name within the state directory.
pub const FILE: &str = "hooks";
const TEMPORARY: &str = "hooks.new";
const MAGIC: &str = "muster-hooks";
/// Raised when an older reader could not read what is written.
const FORMAT: u32 = 1;
/// 400 bytes a hook: room for 600,000 tenants, and an end to what a foreign file can cost.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What the file keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The hooks.
    pub snapshot: Snapshot,
    /// The database's clock minus ours, microseconds.
    pub clock_offset_us: i64,
}

/// Writes the state in place of what is there.
///
/// # Errors
/// What the file system said; the old file is then untouched.
pub fn save(folder: &Path, state: &State) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let json = serde_json::to_vec(state)?;
    let temporary = folder.join(TEMPORARY);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    // one that was left behind keeps the mode that it had
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(format!("{MAGIC} {FORMAT} {}\n", checksum(&json)).as_bytes())?;
    file.write_all(&json)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

/// Reads the state; None if there is none.
///
/// # Errors
/// The file cannot be read or is not whole; the caller says so and goes on without.
pub fn load(folder: &Path) -> io::Result<Option<State>> {
    let file = match File::open(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&bytes).map(Some).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

fn parse(bytes: &[u8]) -> Result<State, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("no first line")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "no first line")?;
    let json = &bytes[end + 1..];
    let mut words = line.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("not a file of hooks".to_owned());
    }
    let format = words.next().unwrap_or_default();
    if format != FORMAT.to_string() {
        return Err(format!("format {format} is not {FORMAT}"));
    }
    if words.next() != Some(checksum(json).as_str()) {
        return Err("the checksum does not match".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use store::hook::{Hook, HookState};
    use uuid::Uuid;

    use super::*;

    fn state() -> State {
        let hook = Hook {
            tenant: Uuid::from_u128(1),
            integration_id: Uuid::from_u128(2),
            digest: [7; 32],
            previous: Some(([8; 32], DateTime::UNIX_EPOCH)),
            state: HookState::Active,
        };
        State {
            snapshot: Snapshot { version: 5, hooks: vec![hook], database_now: DateTime::UNIX_EPOCH },
            clock_offset_us: -3,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        assert_eq!(load(&folder).unwrap(), None);
        for _ in 0..2 {
            save(&folder, &state()).unwrap();
            assert_eq!(load(&folder).unwrap(), Some(state()));
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.join(FILE)), mode(&folder)), (0o600, 0o700));
        assert!(!folder.join(TEMPORARY).exists());
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &state()).unwrap();
        let file = folder.path().join(FILE);
        let sound = std::fs::read(&file).unwrap();
        for length in 0..sound.len() {
            std::fs::write(&file, &sound[..length]).unwrap();
            assert!(load(folder.path()).is_err(), "cut at {length}");
        }
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            assert!(load(folder.path()).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn a_later_format_is_refused_by_name() {
        let error = parse(b"muster-hooks 2 00\n{}").unwrap_err();
        assert!(error.contains("format 2"), "{error}");
    }
}
