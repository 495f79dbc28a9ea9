//! A least-recently-used cache that is bounded in bytes, and means it.
//!
//! Moka and quick_cache evict in batches or know no expiry; here the limit is a promise about
//! memory, so room is made *before* an entry is stored and the cache never holds more than it may,
//! not even for a moment.
//!
//! Entries live in the slots of a `Vec` and are linked by index: no pointers, nothing to free
//! twice. Every operation is O(1). A `get` is one short lock, one look-up and one clone of the
//! value (an `Arc`); it allocates nothing. Large caches are split into shards by a keyed hash of
//! the key; each shard is an exact LRU of its own share of the bytes. Small caches have one shard
//! and are exact altogether.
//!
//! The clock is passed in.

mod shard;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    time::{Duration, Instant},
};

use hashbrown::Equivalent;
use parking_lot::Mutex;
use smallvec::SmallVec;

use shard::Shard;

/// A shard is worth its lock from this many bytes on.
const SHARD_BYTES: usize = 16 << 20;
/// More shards than this spread nothing further.
const MAX_SHARDS: usize = 64;

/// Called with each entry that leaves the cache on its own account, after its lock is released.
pub type OnEvict<K, V> = Box<dyn Fn(&K, &V, Cause) + Send + Sync>;

/// What leaves a shard in one operation: dropped, and told of, outside the lock.
type Leaving<K, V> = SmallVec<[(K, V, Cause); 4]>;

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Room was needed for another.
    Full,
    /// Its time was over.
    Expired,
}

/// A concurrent LRU cache bounded in bytes; see the [module](self).
///
/// Values are handed out as clones, so `V` is an `Arc` or as cheap as one.
pub struct Lru<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: RandomState,
    max_bytes: usize,
    on_evict: Option<OnEvict<K, V>>,
}

/// What a cache holds and what became of what it held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LruStats {
    /// Entries held now, expired ones that nobody asked for since included.
    pub entries: usize,
    /// Bytes they take, keys and bookkeeping included.
    pub bytes: usize,
    /// Entries that had to make room since the counters were reset.
    pub evictions: u64,
    /// Entries found past their time since the counters were reset.
    pub expired: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    /// A cache of at most `max_bytes`. Zero stores nothing.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        let count = (max_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        let count = if count.is_power_of_two() { count } else { count.next_power_of_two() / 2 };
        let shards = (0..count).map(|_| Mutex::new(Shard::new(max_bytes / count))).collect();
        Self { shards, hasher: RandomState::new(), max_bytes, on_evict: None }
    }

    /// Calls `on_evict` with every entry that is evicted or found expired.
    #[must_use]
    pub fn with_on_evict(mut self, on_evict: OnEvict<K, V>) -> Self {
        self.on_evict = Some(on_evict);
        self
    }

    /// The value of a live entry, which becomes the most recently used one.
    pub fn get<Q>(&self, key: &Q, now: Instant) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut leaving = Leaving::new();
        let found = self.shard(hash).lock().get(hash, key, now, &mut leaving);
        self.dismiss(&leaving);
        found
    }

    /// The value of a live entry and when it expires, leaving its place in the order alone.
    pub fn peek<Q>(&self, key: &Q, now: Instant) -> Option<(V, Instant)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).lock().peek(hash, key, now)
    }

    /// Stores a value that weighs `weight` bytes, key included, in place of what the key held.
    ///
    /// Returns whether it was stored: what is larger than its shard's share is not, and the key
    /// then holds nothing.
    pub fn insert(&self, key: K, value: V, weight: usize, expires: Instant) -> bool {
        let hash = self.hasher.hash_one(&key);
        let mut leaving = Leaving::new();
        let (stored, replaced) =
            self.shard(hash).lock().insert(hash, key, value, weight, expires, &mut leaving);
        drop(replaced);
        self.dismiss(&leaving);
        stored
    }

    /// Stores a value as the least recently used one, unless its key holds one already or another
    /// would have to make room.
    ///
    /// Returns whether it was stored.
    pub fn insert_oldest(&self, key: K, value: V, weight: usize, expires: Instant) -> bool {
        let hash = self.hasher.hash_one(&key);
        self.shard(hash).lock().insert_oldest(hash, key, value, weight, expires)
    }

    /// Forgets a key; says whether it held anything.
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let removed = self.shard(hash).lock().remove(hash, key);
        removed.is_some()
    }

    /// Forgets everything and gives the memory back. Counters stay.
    pub fn clear(&self) {
        for shard in &self.shards {
            let emptied = shard.lock().take_all();
            drop(emptied);
        }
    }

    /// Holds it to `max_bytes`, at most as many as it was made for, from now on; what is over goes
    /// at once, the least recently used first.
    pub fn bound(&self, max_bytes: usize) {
        let share = max_bytes.min(self.max_bytes) / self.shards.len();
        for shard in &self.shards {
            let mut leaving = Leaving::new();
            shard.lock().bound(share, &mut leaving);
            self.dismiss(&leaving);
        }
    }

    /// Drops what has expired by `now`, so that nothing outlives its time for want of a reader.
    pub fn purge(&self, now: Instant) {
        for shard in &self.shards {
            let mut leaving = Leaving::new();
            shard.lock().purge(now, &mut leaving);
            self.dismiss(&leaving);
        }
    }

    /// All live entries with the time they expire, least recently used first: each shard exactly,
    /// and of two shards, entries of which as many are newer stand together.
    #[must_use]
    pub fn entries(&self, now: Instant) -> Vec<(K, V, Instant)> {
        let shard = |shard: &Mutex<Shard<K, V>>| {
            let mut entries = Vec::new();
            shard.lock().collect(now, &mut entries);
            entries
        };
        let shards: Vec<_> = self.shards.iter().map(shard).collect();
        let longest = shards.iter().map(Vec::len).max().unwrap_or(0);
        let mut all = Vec::with_capacity(shards.iter().map(Vec::len).sum());
        let mut shards: Vec<_> = shards.into_iter().map(Vec::into_iter).collect();
        for left in (1..=longest).rev() {
            for shard in shards.iter_mut().filter(|shard| shard.len() == left) {
                all.extend(shard.next());
            }
        }
        all
    }

    /// Shows every live entry with the bytes it takes and when it expires, shard by shard under the
    /// shard's lock: `see` must be quick and must not come back to the cache.
    pub fn visit(&self, now: Instant, mut see: impl FnMut(&K, &V, usize, Instant)) {
        for shard in &self.shards {
            shard.lock().visit(now, &mut see);
        }
    }

    /// Drops, without a call of `on_evict`, every entry that `keep` refuses.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        for shard in &self.shards {
            let dropped = shard.lock().retain(&mut keep);
            drop(dropped);
        }
    }

    /// The sum over all shards.
    #[must_use]
    pub fn stats(&self) -> LruStats {
        let mut sum = LruStats::default();
        for shard in &self.shards {
            let one = shard.lock().stats();
            sum.entries += one.entries;
            sum.bytes += one.bytes;
            sum.evictions += one.evictions;
            sum.expired += one.expired;
        }
        sum
    }

    /// Zeroes the counters of evictions and expiries.
    pub fn reset_counters(&self) {
        for shard in &self.shards {
            shard.lock().reset_counters();
        }
    }

    /// The most bytes it may ever hold; fewer while it is [bound](Self::bound).
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard<K, V>> {
        // The table inside a shard uses the low and the top seven bits; these lie between.
        let mask = self.shards.len() as u64 - 1;
        let place = usize::try_from((hash >> 40) & mask).expect("below the number of shards");
        &self.shards[place]
    }

    fn dismiss(&self, leaving: &Leaving<K, V>) {
        if let Some(on_evict) = &self.on_evict {
            for (key, value, cause) in leaving {
                on_evict(key, value, *cause);
            }
        }
    }
}

impl<K, V> fmt::Debug for Lru<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lru")
            .field("shards", &self.shards.len())
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// When an entry stored at `now` expires; a time to live too long to add up never ends.
#[must_use]
pub fn expiry(now: Instant, ttl: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(ttl).unwrap_or_else(|| now + FAR)
}
