//! The bounded queue of writes for one peer: of each key the newest alone.
//!
//! What has no room is dropped, oldest first, and counted; that anything was dropped is remembered,
//! so that the peer is reconciled when it answers again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{
    acks::Acks,
    op::{Kind, Op},
};
use crate::group::version::Version;

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Writes; default 10,000.
    pub entries: usize,
    /// Bytes of their keys and values with 256 more for each; default 8 MiB.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 8 << 20 }
    }
}

type Slot = (Arc<str>, Arc<str>);

/// A write and those who wait for the peer to have it, or something newer.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) op: Arc<Op>,
    pub(super) waiting: SmallVec<[Weak<Acks>; 1]>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    limits: QueueLimits,
}

#[derive(Debug, Default)]
struct State {
    by_slot: HashMap<Slot, Queued>,
    /// Oldest first; what has been replaced or sent is skipped.
    order: VecDeque<(Slot, Version)>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { state: Mutex::default(), limits }
    }

    /// Takes a write in, in place of an older one of its key; gives what was dropped to make room.
    pub(super) fn push(&self, mut queued: Queued) -> Vec<Queued> {
        let mut state = self.state.lock();
        if matches!(queued.op.kind, Kind::Clear) {
            state.drop_cleared(&mut queued);
        }
        state.put(queued);
        let mut dropped = Vec::new();
        while state.by_slot.len() > self.limits.entries || state.bytes > self.limits.bytes {
            let Some(oldest) = state.pop() else { break };
            dropped.push(oldest);
        }
        state.compact();
        dropped
    }

    /// Takes the oldest writes out, some `bytes` and `entries` at the most, one at the least.
    pub(super) fn take(&self, entries: usize, bytes: usize) -> Vec<Queued> {
        let mut state = self.state.lock();
        let (mut taken, mut weight) = (Vec::new(), 0);
        while taken.len() < entries && weight < bytes {
            let Some(queued) = state.pop() else { break };
            weight += queued.op.cost();
            taken.push(queued);
        }
        taken
    }

    /// Puts back what could not be sent, unless something newer has come.
    pub(super) fn give_back(&self, unsent: Vec<Queued>) -> Vec<Queued> {
        unsent.into_iter().flat_map(|queued| self.push(queued)).collect()
    }

    /// Writes and bytes waiting.
    pub(super) fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.by_slot.len(), state.bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().by_slot.is_empty()
    }
}

impl State {
    fn put(&mut self, mut queued: Queued) {
        let slot = (Arc::clone(&queued.op.group), Arc::clone(&queued.op.key));
        if let Some(there) = self.by_slot.get_mut(&slot) {
            let live = |acks: &Weak<Acks>| acks.strong_count() != 0;
            if there.op.version >= queued.op.version {
                queued.waiting.retain(|acks| live(acks));
                there.waiting.append(&mut queued.waiting);
                return;
            }
            there.waiting.retain(|acks| live(acks));
            queued.waiting.append(&mut there.waiting);
            self.bytes -= there.op.cost();
        }
        self.bytes += queued.op.cost();
        self.order.push_back((slot.clone(), queued.op.version));
        self.by_slot.insert(slot, queued);
    }

    fn pop(&mut self) -> Option<Queued> {
        loop {
            let (slot, version) = self.order.pop_front()?;
            if self.by_slot.get(&slot).is_some_and(|queued| queued.op.version == version) {
                let queued = self.by_slot.remove(&slot)?;
                self.bytes -= queued.op.cost();
                return Some(queued);
            }
        }
    }

    /// What a clear makes moot. Who waited for that waits for the clear, which is newer.
    fn drop_cleared(&mut self, clear: &mut Queued) {
        let (bytes, Queued { op, waiting }) = (&mut self.bytes, clear);
        self.by_slot.retain(|(group, _), queued| {
            let stays = *group != op.group || queued.op.version > op.version;
            if !stays {
                *bytes -= queued.op.cost();
                waiting.append(&mut queued.waiting);
            }
            stays
        });
    }

    /// Keeps the order about as long as what it orders.
    fn compact(&mut self) {
        if self.order.len() > 2 * self.by_slot.len() + 64 {
            let by_slot = &self.by_slot;
            self.order.retain(|(slot, version)| {
                by_slot.get(slot).is_some_and(|queued| queued.op.version == *version)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn set(key: &str, time: u64) -> Queued {
        let expires = tokio::time::Instant::now().into_std();
        let kind = Kind::Set { value: Bytes::from(vec![0; 100]), expires };
        queued(key, time, kind)
    }

    fn queued(key: &str, time: u64, kind: Kind) -> Queued {
        let version = Version { time, node: 1 };
        let op = Op { group: "g".into(), key: key.into(), kind, version, settle: None };
        Queued { op: Arc::new(op), waiting: SmallVec::new() }
    }

    #[test]
    fn who_waits_for_a_write_that_a_clear_makes_moot_waits_for_the_clear() {
        let queue = Queue::new(QueueLimits::default());
        let acks = Arc::new(Acks::new(None));
        let mut waited_for = set("a", 1);
        waited_for.waiting.push(Arc::downgrade(&acks));
        queue.push(waited_for);
        queue.push(queued("", 2, Kind::Clear));
        let taken = queue.take(10, usize::MAX);
        assert_eq!((times(&taken), taken[0].waiting.len()), (vec![2], 1));
    }

    fn times(taken: &[Queued]) -> Vec<u64> {
        taken.iter().map(|queued| queued.op.version.time).collect()
    }

    #[test]
    fn of_each_key_the_newest_stays_whatever_the_order() {
        let queue = Queue::new(QueueLimits::default());
        for (key, time) in [("a", 1), ("b", 2), ("a", 4), ("b", 1), ("a", 3)] {
            assert!(queue.push(set(key, time)).is_empty());
        }
        let taken = queue.take(10, usize::MAX);
        assert_eq!(times(&taken), [2, 4]);
        assert!(queue.push(set("a", 5)).is_empty());
        queue.give_back(taken);
        assert_eq!(
            times(&queue.take(10, usize::MAX)),
            [5, 2],
            "what failed does not undo what came"
        );
        assert_eq!(queue.depth(), (0, 0));
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_holds_no_more_than_it_may() {
        let queue = Queue::new(QueueLimits { entries: 1000, bytes: 10 * (OVERHEAD_OF_SET + 5) });
        let mut dropped = 0;
        for time in 1..=100 {
            dropped += queue.push(set(&format!("k{time:04}"), time)).len();
            assert!(queue.depth().1 <= 10 * (OVERHEAD_OF_SET + 5));
        }
        assert_eq!(dropped, 90);
        assert_eq!(times(&queue.take(2, usize::MAX)), [91, 92]);
    }

    const OVERHEAD_OF_SET: usize = 256 + 100;

    #[test]
    fn one_key_set_for_ever_takes_one_place() {
        let queue = Queue::new(QueueLimits::default());
        for time in 1..100_000 {
            queue.push(set("k", time));
        }
        assert_eq!(queue.depth().0, 1);
        assert!(queue.state.lock().order.len() < 100);
    }

    #[test]
    fn a_clear_takes_older_writes_with_it() {
        let queue = Queue::new(QueueLimits::default());
        for time in [1, 2, 9] {
            queue.push(set(&format!("k{time}"), time));
        }
        queue.push(queued("", 5, Kind::Clear));
        assert_eq!(times(&queue.take(10, usize::MAX)), [9, 5]);
    }
}
