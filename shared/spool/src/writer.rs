//! Group commit: one thread takes what waits, writes it with one sync, and tells everybody.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{AppendError, Full, Shared};

/// Records of one sync. A thousand a second and a slow sync of 50 ms make 50.
const BATCH_RECORDS_MAX: usize = 512;
/// Bytes of one sync; a record has at most 256 KiB and a little.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often room and disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One record on its way.
pub(crate) struct Append {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<(), AppendError>>,
}

/// Runs until the last handle is dropped.
pub(crate) fn run(shared: &Shared, inbox: &Receiver<Append>) {
    let (mut looked, mut wait) = (Instant::now(), LOOK_EVERY);
    loop {
        match inbox.recv_timeout(wait) {
            Ok(first) => write(shared, take(first, inbox)),
            Err(RecvTimeoutError::Timeout) => {
                wait = if shared.tidy() { Duration::ZERO } else { LOOK_EVERY };
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if wait.is_zero() || looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            shared.look();
            // appends have their turn between two steps
            wait = if shared.rescue() { Duration::ZERO } else { LOOK_EVERY };
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
    shared.disk.mend();
    let (mut kept, mut bytes) = (Vec::with_capacity(batch.len()), 0);
    for append in batch {
        let more = append.bytes.len() as u64;
        match shared.room_for(bytes + more) {
            None => {
                bytes += more;
                kept.push(append);
            }
            Some(what) => {
                // noted before anybody hears of it: who was refused reads the same in the figures
                shared.gauge.note_room(Some(what), more);
                // whoever does not wait any more needs no answer
                let _ = append.reply.send(Err(AppendError::Full(what)));
            }
        }
    }
    if kept.is_empty() {
        return;
    }
    let last = shared.disk.totals().last;
    let numbered: Vec<(u64, &[u8])> =
        kept.iter().map(|append| (shared.gauge.next_number(last), append.bytes.as_slice())).collect();
    let done = shared.disk.append(&numbered);
    let answer = match &done {
        Ok(()) => {
            shared.gauge.note_sound(true);
            shared.appended.notify_one();
            Ok(())
        }
        Err(error) => {
            tracing::warn!(error = %error, "append to the spool failed");
            if error.is_full {
                shared.gauge.note_room(Some(Full::Disk), bytes);
                Err(AppendError::Full(Full::Disk))
            } else {
                shared.gauge.note_sound(false);
                Err(AppendError::Failed)
            }
        }
    };
    for append in kept {
        let _ = append.reply.send(answer);
    }
}
