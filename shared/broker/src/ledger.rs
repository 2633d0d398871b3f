//! Which deliveries of one channel are finished, and which acknowledgements that allows.
//!
//! `multiple` acknowledges everything up to a tag, so it may only ever cover the longest finished run from the lowest
//! unsettled tag. What is finished beyond a hole waits a little for the hole to close and is then acknowledged singly:
//! one slow or unmovable message never holds back its neighbours. Pure; the clock is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One acknowledgement to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) tag: u64,
    pub(crate) multiple: bool,
}

/// The unsettled deliveries of one channel by tag; a value is when it was finished.
#[derive(Debug)]
pub(crate) struct Ledger {
    unsettled: BTreeMap<u64, Option<Instant>>,
    hole: Duration,
}

impl Ledger {
    pub(crate) fn new(hole: Duration) -> Self {
        Self { unsettled: BTreeMap::new(), hole }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.unsettled.len()
    }

    pub(crate) fn received(&mut self, tag: u64) {
        self.unsettled.insert(tag, None);
    }

    pub(crate) fn finished(&mut self, tag: u64, now: Instant) {
        if let Some(state) = self.unsettled.get_mut(&tag) {
            state.get_or_insert(now);
        }
    }

    /// Forgets a tag that was given back to the broker; whether it was unsettled.
    pub(crate) fn returned(&mut self, tag: u64) -> bool {
        self.unsettled.remove(&tag).is_some()
    }

    /// Takes every acknowledgement that may be sent now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Ack> {
        let mut due = Vec::new();
        let mut run = 0;
        while let Some(first) = self.unsettled.first_entry() {
            if first.get().is_none() {
                break;
            }
            due = vec![Ack { tag: *first.key(), multiple: run > 0 }];
            run += 1;
            first.remove();
        }
        let overdue = |finished: &Option<Instant>| finished.is_some_and(|at| now.duration_since(at) >= self.hole);
        let singles: Vec<u64> = self.unsettled.iter().filter(|(_, at)| overdue(at)).map(|(tag, _)| *tag).collect();
        for tag in singles {
            self.unsettled.remove(&tag);
            due.push(Ack { tag, multiple: false });
        }
        due
    }

    /// When [`Ledger::take_due`] has something to give again, if nothing else happens.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.unsettled.values().flatten().min().map(|at| *at + self.hole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLE: Duration = Duration::from_millis(200);

    fn with(tags: std::ops::RangeInclusive<u64>) -> Ledger {
        let mut ledger = Ledger::new(HOLE);
        tags.for_each(|tag| ledger.received(tag));
        ledger
    }

    #[test]
    fn a_finished_run_is_one_acknowledgement() {
        let (mut ledger, now) = (with(1..=5), Instant::now());
        [3, 1, 2].iter().for_each(|tag| ledger.finished(*tag, now));
        assert_eq!(ledger.take_due(now), [Ack { tag: 3, multiple: true }]);
        assert_eq!(ledger.take_due(now), []);
    }

    #[test]
    fn nothing_is_acknowledged_past_an_unfinished_head() {
        let (mut ledger, now) = (with(1..=3), Instant::now());
        [2, 3].iter().for_each(|tag| ledger.finished(*tag, now));
        assert_eq!(ledger.take_due(now), []);
        assert_eq!(ledger.next_due(), Some(now + HOLE));
    }

    #[test]
    fn beyond_a_hole_each_is_acknowledged_singly_after_the_wait() {
        let (mut ledger, now) = (with(1..=3), Instant::now());
        [2, 3].iter().for_each(|tag| ledger.finished(*tag, now));
        assert_eq!(ledger.take_due(now + HOLE - Duration::from_millis(1)), []);
        let singles = [Ack { tag: 2, multiple: false }, Ack { tag: 3, multiple: false }];
        assert_eq!(ledger.take_due(now + HOLE), singles);
        ledger.finished(1, now);
        assert_eq!(ledger.take_due(now + HOLE), [Ack { tag: 1, multiple: false }]);
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_returned_delivery_is_no_hole() {
        let (mut ledger, now) = (with(1..=3), Instant::now());
        [2, 3].iter().for_each(|tag| ledger.finished(*tag, now));
        assert!(ledger.returned(1));
        assert!(!ledger.returned(1));
        assert_eq!(ledger.take_due(now), [Ack { tag: 3, multiple: true }]);
    }

    #[test]
    fn any_order_of_finishing_acknowledges_each_delivery_exactly_once() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..200 {
            let mut ledger = with(1..=40);
            let mut open: Vec<u64> = (1..=40).collect();
            let mut acknowledged = [0_u32; 41];
            let mut now = Instant::now();
            let mut unfinished: Vec<u64> = open.clone();
            while !ledger.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if !open.is_empty() {
                    let tag = open.swap_remove((seed >> 33) as usize % open.len());
                    unfinished.retain(|other| *other != tag);
                    ledger.finished(tag, now);
                }
                now += Duration::from_millis(seed >> 57);
                for ack in ledger.take_due(now) {
                    let from = if ack.multiple { 1 } else { ack.tag };
                    for tag in from..=ack.tag {
                        assert!(!unfinished.contains(&tag), "{tag} was acknowledged unfinished");
                        acknowledged[tag as usize] = 1;
                    }
                }
            }
            assert_eq!(acknowledged[1..].iter().sum::<u32>(), 40);
        }
    }
}
