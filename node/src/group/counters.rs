//! What a group counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::proto::Source;

/// Upper bounds of the buckets of load times, in seconds.
pub(crate) const LOAD_BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counts since the start of a group at this peer. Plain atomics: nothing is looked up on a hit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    // Each get is one of these, once it has ended.
    pub(crate) hits_local: AtomicU64,
    pub(crate) hits_peer: AtomicU64,
    pub(crate) hits_hot: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) load_errors: AtomicU64,
    pub(crate) load_nanos: AtomicU64,
    pub(crate) load_buckets: [AtomicU64; LOAD_BOUNDS.len() + 1],
    pub(crate) loads_shared: AtomicU64,
    pub(crate) loads_discarded: AtomicU64,
    /// Loads for keys of an owner that did not answer.
    pub(crate) fallbacks: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) sets: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) clears: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) refused_old: AtomicU64,
    pub(crate) refused_forgotten: AtomicU64,
    pub(crate) refused_other: AtomicU64,
    pub(crate) sync_acknowledged: AtomicU64,
    pub(crate) sync_failed: AtomicU64,
    pub(crate) sync_dropped: AtomicU64,
    /// Requests by how many peers they had passed: 0, 1, and more, which never happens.
    pub(crate) hops: [AtomicU64; 3],
}

/// Counts a get that was not here when it ends, once: as a miss, unless a cache answered.
pub(crate) struct Tally<'a> {
    counters: &'a Counters,
    to: fn(&Counters) -> &AtomicU64,
}

impl<'a> Tally<'a> {
    pub(crate) fn of(counters: &'a Counters) -> Self {
        Self { counters, to: |counters| &counters.misses }
    }

    /// Says where the answer is from, and whether a cache gave it and no loader.
    pub(crate) fn answered(&mut self, source: Source, cached: bool) {
        match source {
            Source::Peer if cached => self.to = |counters| &counters.hits_peer,
            // Another's load had ended just before this one would have begun.
            Source::Local => self.to = |counters| &counters.hits_local,
            _ => {}
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.counters.add(self.to, 1);
    }
}

impl Counters {
    pub(crate) fn add(&self, counter: impl Fn(&Self) -> &AtomicU64, by: u64) {
        counter(self).fetch_add(by, Relaxed);
    }

    pub(crate) fn loaded(&self, took: Duration, well: bool) {
        self.loads.fetch_add(1, Relaxed);
        if !well {
            self.load_errors.fetch_add(1, Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.load_nanos.fetch_add(nanos, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = LOAD_BOUNDS.iter().position(|bound| seconds <= *bound);
        self.load_buckets[bucket.unwrap_or(LOAD_BOUNDS.len())].fetch_add(1, Relaxed);
    }

    pub(crate) fn hop(&self, hops: u32) {
        let at = usize::try_from(hops).unwrap_or(2).min(2);
        self.hops[at].fetch_add(1, Relaxed);
    }

    pub(crate) fn max_hops(&self) -> u64 {
        let most = self.hops.iter().rposition(|count| count.load(Relaxed) != 0);
        most.unwrap_or(0) as u64
    }
}
