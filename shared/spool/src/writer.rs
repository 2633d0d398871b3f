//! Group commit: one thread takes what waits, writes it with one sync, and tells everybody.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{AppendError, Shared};

/// Records of one sync. A thousand a second and a slow sync of 50 ms make 50.
const BATCH_RECORDS_MAX: usize = 512;
/// Bytes of one sync; a record has at most 256 KiB and a little.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often room and disk are looked at while nobody appends.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One record on its way.
pub(crate) struct Append {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<(), AppendError>>,
}

/// Runs until the last handle is dropped.
pub(crate) fn run(shared: &Shared, inbox: &Receiver<Append>) {
    loop {
        match inbox.recv_timeout(LOOK_EVERY) {
            Ok(first) => write(shared, take(first, inbox)),
            Err(RecvTimeoutError::Timeout) => shared.look(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What waits by now, within the limits of one sync.
fn take(first: Append, inbox: &Receiver<Append>) -> Vec<Append> {
    let mut bytes = first.bytes.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        let Ok(next) = inbox.try_recv() else { break };
        bytes += next.bytes.len();
        batch.push(next);
    }
    batch
}

fn write(shared: &Shared, batch: Vec<Append>) {
    shared.mend();
    let (mut kept, mut bytes, mut full) = (Vec::with_capacity(batch.len()), 0, None);
    for append in batch {
        match shared.room_for(bytes + append.bytes.len() as u64) {
            None => {
                bytes += append.bytes.len() as u64;
                kept.push(append);
            }
            Some(what) => {
                full = Some(what);
                // whoever does not wait any more needs no answer
                let _ = append.reply.send(Err(AppendError::Full(what)));
            }
        }
    }
    let numbered: Vec<(u64, &[u8])> =
        kept.iter().map(|append| (shared.gauge.next_number(), append.bytes.as_slice())).collect();
    let done = if numbered.is_empty() { Ok(()) } else { shared.disk.append(&numbered) };
    if let Err(error) = &done {
        tracing::warn!(error = %error, "append to the spool failed");
    } else {
        shared.gauge.appended(kept.len() as u64, bytes);
        shared.appended.notify_one();
    }
    shared.gauge.note(full, done.is_ok());
    for append in kept {
        let _ = append.reply.send(done.clone().map_err(|_| AppendError::Failed));
    }
}
