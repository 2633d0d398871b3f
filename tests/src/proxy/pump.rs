//! One direction of one connection: copies, as its fault lets it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::Fault;

/// A direction, and what counts there.
pub(super) struct Way<'a> {
    fault: watch::Receiver<Fault>,
    carried: &'a watch::Sender<u64>,
    is_held: fn(&Fault) -> bool,
    limit: fn(&Fault) -> Option<u64>,
    rng: StdRng,
}

impl<'a> Way<'a> {
    /// From the client to the server.
    pub(super) fn to_server(fault: watch::Receiver<Fault>, carried: &'a watch::Sender<u64>, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { fault, carried, is_held: |fault| fault.hold_to_server, limit: |fault| fault.cut_after_bytes, rng }
    }

    /// From the server to the client.
    pub(super) fn to_client(fault: watch::Receiver<Fault>, carried: &'a watch::Sender<u64>, seed: u64) -> Self {
        let (rng, limit): (_, fn(&Fault) -> Option<u64>) =
            (StdRng::seed_from_u64(seed), |fault| fault.cut_after_bytes_to_client);
        Self { fault, carried, is_held: |fault| fault.hold_to_client, limit, rng }
    }

    /// What is true once nothing is held; `None` when the proxy is gone.
    async fn free(&mut self) -> Option<Fault> {
        let is_held = self.is_held;
        self.fault.wait_for(|fault| !is_held(fault)).await.ok().map(|fault| *fault)
    }

    /// Waits as long as an end is not to be passed on.
    async fn end(&mut self) {
        // the proxy's end is one, too
        let _ = self.fault.wait_for(|fault| !fault.swallow_ends).await;
    }

    /// How long a piece is held.
    pub(super) fn delay(&mut self, fault: &Fault) -> Duration {
        if fault.jitter.is_zero() {
            return fault.latency;
        }
        fault.latency + self.rng.random_range(Duration::ZERO..=fault.jitter)
    }

    /// How many of these bytes may still pass.
    fn left(&self, fault: &Fault, bytes: usize) -> usize {
        let Some(limit) = (self.limit)(fault) else { return bytes };
        let left = limit.saturating_sub(*self.carried.borrow());
        bytes.min(usize::try_from(left).unwrap_or(bytes))
    }
}

/// Copies until either side ends, or the limit of bytes is reached.
pub(super) async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: Way<'_>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut piece).await else { return way.end().await };
        let Some(now) = way.free().await else { return };
        let delay = way.delay(&now);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let pass = way.left(&now, read);
        if to.write_all(&piece[..pass]).await.is_err() {
            return way.end().await;
        }
        way.carried.send_modify(|bytes| *bytes += pass as u64);
        if pass < read {
            return;
        }
        if let Some(bytes_per_s) = now.bytes_per_s {
            tokio::time::sleep(Duration::from_secs_f64(pass as f64 / bytes_per_s.max(1) as f64)).await;
        }
    }
}
