//! One bucket for each key, and never more than so many.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use governor::RateLimiter;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};

use super::{Quota, Timeline, Verdict};

/// Buckets that the keys without one of their own share.
const OVERFLOW: usize = 64;

/// A bucket for each key: per client, per API key.
///
/// Keys come from outside, so their number is bounded: while `capacity` keys have a bucket, a new
/// key shares one of 64 overflow buckets with others (which one is a keyed hash that outsiders
/// can't compute). [`sweep`](Self::sweep) forgets the buckets that are full again, which nobody
/// can tell from new ones; let one task call it every so often. Keys are cloned when first seen:
/// choose small ones, and cap the length of those that clients choose.
#[derive(Debug)]
pub struct KeyedBuckets<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, Store<K>, Timeline, NoOpMiddleware<Nanos>>,
    quota: Quota,
}

impl<K: Hash + Eq + Clone> KeyedBuckets<K> {
    /// Room for `capacity` keys; none takes memory before it is seen.
    #[must_use]
    pub fn new(quota: Quota, capacity: NonZeroUsize) -> Self {
        let clock = Timeline::default();
        let store = Store::new(capacity.get());
        Self { limiter: RateLimiter::new(quota.cells(), store, clock), quota }
    }

    /// Takes a token from the bucket of `key`, if there is one. A `now` before an earlier call's
    /// counts as that call's.
    pub fn take(&self, key: &K, now: Instant) -> Verdict {
        let at = self.limiter.clock().advance(now);
        match self.limiter.check_key(key) {
            Ok(()) => Verdict::Admit,
            Err(until) => Verdict::Refuse(until.wait_time_from(at)),
        }
    }

    /// Forgets the buckets that are full at `now`, and gives memory back when most of it is unused.
    /// Visits every bucket, locking one shard of the map after the other.
    pub fn sweep(&self, now: Instant) {
        self.limiter.clock().advance(now);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// How many keys have a bucket of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.limiter.len()
    }

    /// Whether no key has a bucket of its own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limiter.is_empty()
    }

    /// What each bucket was made with.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }
}

/// A bounded map of bucket states.
#[derive(Debug)]
struct Store<K: Hash + Eq + Clone> {
    known: DashMapStateStore<K>,
    /// Places taken in `known`: never below its length, so that the bound holds under any race.
    taken: AtomicUsize,
    capacity: usize,
    overflow: [InMemoryState; OVERFLOW],
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> Store<K> {
    fn new(capacity: usize) -> Self {
        Self {
            known: DashMapStateStore::default(),
            taken: AtomicUsize::new(0),
            capacity,
            overflow: std::array::from_fn(|_| InMemoryState::default()),
            hasher: RandomState::new(),
        }
    }

    fn reserve(&self) -> bool {
        let more = |taken| (taken < self.capacity).then_some(taken + 1);
        self.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn shared(&self, key: &K) -> &InMemoryState {
        let hash = self.hasher.hash_one(key) % OVERFLOW as u64;
        &self.overflow[usize::try_from(hash).unwrap_or(0)]
    }
}

impl<K: Hash + Eq + Clone> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if let Some(state) = self.known.get(key) {
            return state.measure_and_replace(&NotKeyed::NonKey, decide);
        }
        if !self.reserve() {
            return self.shared(key).measure_and_replace(&NotKeyed::NonKey, decide);
        }
        let mut fresh = false;
        let state = self.known.entry(key.clone()).or_insert_with(|| {
            fresh = true;
            InMemoryState::default()
        });
        if !fresh {
            // Another thread was first: its place is the one that counts.
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        state.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Store<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut dropped = 0;
        self.known.retain(|_, state| {
            // Refusing to replace reads the arrival time without changing it.
            let read = |tat| Err::<((), Nanos), Option<Nanos>>(tat);
            let tat = state.measure_and_replace(&NotKeyed::NonKey, read).err().flatten();
            let keep = tat.is_some_and(|tat| tat > drop_below);
            dropped += usize::from(!keep);
            keep
        });
        self.taken.fetch_sub(dropped, Ordering::Relaxed);
    }

    fn shrink_to_fit(&self) {
        if self.known.capacity() / 4 > self.known.len() {
            self.known.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
