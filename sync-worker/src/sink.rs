//! Gathers devices into batches that are bounded in number and in bytes.

use std::collections::HashSet;

use store::device::{Device, Disk};
use tokio::sync::mpsc;

/// Devices of one transaction (pipeline §10: 500 to 2,000 rows).
pub(crate) const BATCH_DEVICES_MAX: usize = 1_000;
/// Bytes of one transaction's devices as they lie in memory. A thousand usual ones are 2 MB; twice that, so that only odd
/// ones make smaller batches. A device that is larger on its own is a batch of its own.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;

/// Where a part's devices go.
pub(crate) struct Sink {
    batches: mpsc::Sender<Vec<Device>>,
    batch: Vec<Device>,
    bytes: usize,
    bytes_max: usize,
    seen: HashSet<String>,
}

impl Sink {
    pub(crate) fn new(batches: mpsc::Sender<Vec<Device>>) -> Self {
        Self { batches, batch: Vec::new(), bytes: 0, bytes_max: BATCH_BYTES_MAX, seen: HashSet::new() }
    }

    /// `false`: nobody merges any more.
    pub(crate) async fn take(&mut self, device: Device) -> bool {
        let bytes = bytes(&device);
        let is_full = self.batch.len() == BATCH_DEVICES_MAX || self.bytes + bytes > self.bytes_max;
        if is_full && !self.batch.is_empty() && !self.flush().await {
            return false;
        }
        self.bytes += bytes;
        self.seen.insert(device.agent_id.clone());
        self.batch.push(device);
        // what is full waits for no further device to come
        (self.batch.len() < BATCH_DEVICES_MAX && self.bytes < self.bytes_max) || self.flush().await
    }

    /// Hands the last batch over.
    pub(crate) async fn end(mut self) -> HashSet<String> {
        if !self.batch.is_empty() {
            // nobody there means that the merging has ended, and says why
            self.flush().await;
        }
        self.seen
    }

    async fn flush(&mut self) -> bool {
        self.bytes = 0;
        self.batches.send(std::mem::take(&mut self.batch)).await.is_ok()
    }
}

/// What a device takes, with its texts.
fn bytes(device: &Device) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let list = |list: &[String]| list.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>();
    let disk = |disk: &Disk| {
        let texts = [&disk.fstype, &disk.total, &disk.used, &disk.free];
        size_of::<Disk>() + disk.device.len() + texts.into_iter().map(text).sum::<usize>()
    };
    size_of::<Device>()
        + device.agent_id.len()
        + device.name.len()
        + device.texts().into_iter().map(text).sum::<usize>()
        + list(&device.local_ips)
        + list(&device.physical_disks)
        + device.disks.iter().map(disk).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: usize, description_bytes: usize) -> Device {
        Device {
            agent_id: format!("{number:05}"),
            description: Some("x".repeat(description_bytes)),
            ..Device::default()
        }
    }

    /// The sizes of the batches that so many devices make, and how many were seen.
    async fn batches(devices: Vec<Device>, bytes_max: usize) -> (Vec<usize>, usize) {
        let (batches, mut merging) = mpsc::channel(devices.len() + 1);
        let mut sink = Sink { bytes_max, ..Sink::new(batches) };
        for device in devices {
            assert!(sink.take(device).await, "somebody merges");
        }
        let seen = sink.end().await.len();
        let mut sizes = Vec::new();
        while let Some(batch) = merging.recv().await {
            sizes.push(batch.len());
        }
        (sizes, seen)
    }

    #[tokio::test]
    async fn a_batch_is_full_by_number_or_by_bytes_at_its_edge() {
        let each = bytes(&device(0, 100));
        assert!(each > 100 + size_of::<Device>());
        let of = |count: usize| (0..count).map(|number| device(number, 100)).collect::<Vec<_>>();
        assert_eq!(batches(of(999), BATCH_BYTES_MAX).await, (vec![999], 999));
        assert_eq!(batches(of(1_000), BATCH_BYTES_MAX).await, (vec![1_000], 1_000));
        assert_eq!(batches(of(1_001), BATCH_BYTES_MAX).await, (vec![1_000, 1], 1_001));
        assert_eq!(batches(of(5), 2 * each).await, (vec![2, 2, 1], 5), "two fit exactly");
        assert_eq!(batches(of(5), 2 * each - 1).await, (vec![1; 5], 5), "a byte less");
        assert_eq!(batches(of(5), 3 * each - 1).await, (vec![2, 2, 1], 5));
        let mut odd = of(4);
        odd.insert(2, device(9, 10 * each));
        assert_eq!(batches(odd, 2 * each).await, (vec![2, 1, 2], 5), "what is larger on its own goes alone");
        assert_eq!(batches(Vec::new(), BATCH_BYTES_MAX).await, (Vec::new(), 0));
    }

    #[tokio::test]
    async fn huge_devices_of_one_tenant_take_no_more_memory_than_a_batch() {
        // a row may be 256 KiB
        let (sizes, seen) = batches((0..100).map(|number| device(number, 256 << 10)).collect(), BATCH_BYTES_MAX).await;
        assert_eq!((sizes.iter().sum::<usize>(), seen), (100, 100));
        assert!(sizes.iter().all(|size| size * (256 << 10) <= BATCH_BYTES_MAX), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_sink_that_nobody_merges_from_says_so() {
        let (batches, merging) = mpsc::channel(1);
        drop(merging);
        let mut sink = Sink { bytes_max: 1, ..Sink::new(batches) };
        assert!(!sink.take(device(1, 1)).await);
    }
}
