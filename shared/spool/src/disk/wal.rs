//! What a write-ahead log holds by its own words, whether or not its checksums hold: by this it shows whether a recovery
//! that stopped early cost more than the last group.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::table::PAGE_BYTES;

/// The log's own head: magic, version, page size, checkpoint, two salts, two sums, four bytes each.
const HEAD_BYTES: u64 = 32;
/// A frame's: page, pages of the database where it ends a group (else 0), two salts, two sums.
const FRAME_HEAD_BYTES: usize = 24;
/// Where the salts lie in either.
const HEAD_SALTS: std::ops::Range<usize> = 16..24;
const FRAME_SALTS: std::ops::Range<usize> = 8..16;

/// The frames of a log's present life, in order: whether each ends a group. Those of an earlier life have other salts.
pub(super) fn frames(log: &Path) -> io::Result<Vec<bool>> {
    let mut file = match File::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let length = file.metadata()?.len();
    let (mut head, mut place) = ([0; HEAD_BYTES as usize], HEAD_BYTES);
    if length < HEAD_BYTES {
        return Ok(Vec::new());
    }
    file.read_exact(&mut head)?;
    let (mut salts, mut frames) = (head[HEAD_SALTS].to_vec(), Vec::new());
    let mut frame = [0; FRAME_HEAD_BYTES];
    while place + FRAME_HEAD_BYTES as u64 <= length {
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut frame)?;
        if salts.iter().all(|byte| *byte == 0) {
            // the head is gone: the first frame that has salts tells them
            salts = frame[FRAME_SALTS].to_vec();
        }
        let is_ours = frame[FRAME_SALTS] == salts[..] && frame != [0; FRAME_HEAD_BYTES];
        frames.push(is_ours && frame[4..8] != [0; 4]);
        place += FRAME_HEAD_BYTES as u64 + PAGE_BYTES;
    }
    Ok(frames)
}
