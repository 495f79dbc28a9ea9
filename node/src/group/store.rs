//! What one peer holds of a group: values, tombstones, and the rules by which a write is newer.
//!
//! No task, no socket, no clock of its own: the same code runs in the model tests.
//!
//! # The rules
//!
//! - A *write* (set, delete, clear) has a [`Version`]; of two writes of a key the later wins,
//!   whatever the order in which they arrive. Applying one twice changes nothing.
//! - A *fill* (what the loader gave) has none: any write of its key takes its place, and a fill
//!   that began before a write was applied here is not stored after it.
//! - A delete leaves a tombstone, so that a set that is late does not revive the key. An eviction
//!   or expiry of a set leaves its version, so that an older set does not take its place.
//! - A clear is a version too: what is not later than it is not there. It costs O(1); memory comes
//!   back as entries are met, replaced or swept.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Acquire, Ordering::Release},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{marks::Marks, version::Version};
use crate::cache::lru::{Cause, Lru, LruStats};

/// Locks for writes, by key.
const STRIPES: usize = 64;

/// What is held of a key.
#[derive(Clone, Debug)]
pub(super) struct Held<V> {
    /// `None`: known not to exist.
    pub(super) value: Option<V>,
    /// Of the set; [`Version::ZERO`] of a fill.
    pub(super) version: Version,
    /// How many clears had been applied when it came.
    generation: u64,
    /// From then on it is worth loading anew, if it is a fill.
    pub(super) refresh: Option<Instant>,
}

impl<V> Held<V> {
    pub(super) fn is_fill(&self) -> bool {
        self.version == Version::ZERO
    }
}

/// A write to one key.
#[derive(Clone, Debug)]
pub(super) enum Act<V> {
    Set { value: V, weight: usize, expires: Instant },
    Delete,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is the newest; whether the key had a value before.
    Applied { existed: bool },
    /// It is here.
    Known,
    /// Something newer is known.
    Old,
    /// It is so old that a delete of its key may have been forgotten.
    Forgotten,
}

/// The newest that is known of a key.
#[derive(Clone, Debug)]
pub(super) enum Newest<V> {
    Set {
        value: V,
        version: Version,
        expires: Instant,
    },
    Deleted(Version),
    /// Set, and since evicted or expired.
    Lost(Version),
    Nothing,
}

impl<V> Newest<V> {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Set { version, .. } | Self::Deleted(version) | Self::Lost(version) => *version,
            Self::Nothing => Version::ZERO,
        }
    }
}

/// How much is remembered of what is not held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Tombstones at the most.
    pub(super) tombstones: usize,
    /// How long each lives at the most.
    pub(super) tombstone_life: Duration,
}

pub(super) struct Store<V> {
    lru: Lru<Arc<str>, Held<V>>,
    stripes: Box<[Mutex<()>]>,
    hasher: RandomState,
    generation: AtomicU64,
    cleared: Mutex<Version>,
    /// The newest version that was applied, of any key.
    latest: Mutex<Version>,
    deleted: Mutex<Marks>,
    lost: Arc<Mutex<Marks>>,
    memory: Memory,
}

impl<V: Clone + Send + Sync + 'static> Store<V> {
    /// `left` is told of every entry that is evicted or found expired.
    pub(super) fn new(
        max_bytes: usize,
        memory: Memory,
        left: impl Fn(&Arc<str>, Cause) + Send + Sync + 'static,
    ) -> Self {
        let lost = Arc::new(Mutex::new(Marks::new(memory.tombstones)));
        let told = Arc::clone(&lost);
        let lru = Lru::new(max_bytes).with_on_evict(Box::new(
            move |key: &Arc<str>, held: &Held<V>, cause| {
                if !held.is_fill() {
                    let until = tokio::time::Instant::now().into_std() + memory.tombstone_life;
                    told.lock().put(key, held.version, until);
                }
                left(key, cause);
            },
        ));
        Self {
            lru,
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            generation: AtomicU64::new(0),
            cleared: Mutex::new(Version::ZERO),
            latest: Mutex::new(Version::ZERO),
            deleted: Mutex::new(Marks::new(memory.tombstones)),
            lost,
            memory,
        }
    }

    /// What is held of a key.
    pub(super) fn get(&self, key: &str, now: Instant) -> Option<Held<V>> {
        self.lru.get(key, now).filter(|held| self.is_visible(held))
    }

    /// The same with its end, leaving its place in the order alone.
    pub(super) fn peek(&self, key: &str, now: Instant) -> Option<(Held<V>, Instant)> {
        self.lru.peek(key, now).filter(|(held, _)| self.is_visible(held))
    }

    /// The version of the delete of a key, if that is the newest known of it.
    pub(super) fn deleted(&self, key: &str) -> Option<Version> {
        self.deleted.lock().get(key)
    }

    /// The newest clear.
    pub(super) fn cleared(&self) -> Version {
        *self.cleared.lock()
    }

    /// The newest version of anything that was applied here, clears included.
    pub(super) fn latest(&self) -> Version {
        self.cleared().max(*self.latest.lock())
    }

    /// The newest known of a key, fills aside.
    pub(super) fn newest(&self, key: &str, now: Instant) -> Newest<V> {
        if let Some((held, expires)) = self.peek(key, now)
            && let (false, Some(value)) = (held.is_fill(), held.value)
        {
            return Newest::Set { value, version: held.version, expires };
        }
        let (deleted, lost) = (self.deleted.lock().get(key), self.lost.lock().get(key));
        match (deleted, lost) {
            (Some(deleted), lost) if lost.is_none_or(|lost| lost < deleted) => {
                Newest::Deleted(deleted)
            }
            (_, Some(lost)) => Newest::Lost(lost),
            (_, None) => Newest::Nothing,
        }
    }

    /// Applies a write that has its version. `supersede` runs before anyone can see it, and before
    /// a fill that is under way can be stored.
    pub(super) fn apply(
        &self,
        key: &Arc<str>,
        act: Act<V>,
        version: Version,
        now: Instant,
        supersede: impl FnOnce(),
    ) -> Outcome {
        let _one_at_a_time = self.stripe(key).lock();
        self.apply_locked(key, act, version, now, supersede)
    }

    /// Applies a write that gets its version here, later than all that is known of the key.
    pub(super) fn write(
        &self,
        key: &Arc<str>,
        act: Act<V>,
        next: impl FnOnce(Version) -> Version,
        now: Instant,
        supersede: impl FnOnce(),
    ) -> (Version, bool) {
        let _one_at_a_time = self.stripe(key).lock();
        // Later than the deletes that were forgotten, too: one may have been of this key.
        let floor = self.deleted.lock().floor();
        let known = self.newest(key, now).version().max(self.cleared()).max(floor);
        let version = next(known);
        let outcome = self.apply_locked(key, act, version, now, supersede);
        (version, matches!(outcome, Outcome::Applied { existed: true }))
    }

    /// Stores what the loader gave, if `valid` says that no write has come since it was asked.
    pub(super) fn fill(
        &self,
        key: &Arc<str>,
        (value, weight): (Option<V>, usize),
        (expires, refresh): (Instant, Option<Instant>),
        now: Instant,
        valid: impl FnOnce() -> bool,
    ) -> bool {
        let _one_at_a_time = self.stripe(key).lock();
        let generation = self.generation.load(Acquire);
        if !valid() || self.peek(key, now).is_some_and(|(held, _)| !held.is_fill()) {
            return false;
        }
        let held = Held { value, version: Version::ZERO, generation, refresh };
        self.lru.insert(Arc::clone(key), held, weight + key.len(), expires)
    }

    /// Makes everything that is not later than `version` gone; says whether that is news.
    pub(super) fn clear(&self, version: Version, supersede: impl FnOnce()) -> bool {
        let mut cleared = self.cleared.lock();
        if *cleared >= version {
            return false;
        }
        *cleared = version;
        self.generation.fetch_add(1, Release);
        drop(cleared);
        supersede();
        self.deleted.lock().clear(version);
        self.lost.lock().clear(version);
        true
    }

    /// Every peer has this delete: its tombstone may go after `grace`.
    pub(super) fn settle(&self, key: &str, version: Version, until: Instant) {
        self.deleted.lock().settle(key, version, until);
    }

    /// Drops what has expired, was cleared, or is remembered for long enough.
    pub(super) fn sweep(&self, now: Instant) {
        self.lru.purge(now);
        self.lru.retain(|_, held| self.is_visible(held));
        self.deleted.lock().purge(now);
        self.lost.lock().purge(now);
    }

    /// Drops the keys that `keep` refuses, without a trace: others hold them.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lru.retain(|key, _| keep(key));
    }

    /// Shows every live key with its entry, the bytes it takes, and its end.
    pub(super) fn visit(
        &self,
        now: Instant,
        mut see: impl FnMut(&Arc<str>, &Held<V>, usize, Instant),
    ) {
        self.lru.visit(now, |key, held, weight, expires| {
            if self.is_visible(held) {
                see(key, held, weight, expires);
            }
        });
    }

    /// Every key a write is known of here, with its version and whether that was a delete.
    pub(super) fn known(&self, now: Instant) -> Vec<(Arc<str>, Version, bool)> {
        let mut known = Vec::new();
        self.visit(now, |key, held, _, _| {
            if !held.is_fill() {
                known.push((Arc::clone(key), held.version, false));
            }
        });
        let deleted = self.deleted.lock();
        known.extend(deleted.iter().map(|(key, version)| (Arc::clone(key), version, true)));
        known
    }

    pub(super) fn stats(&self) -> LruStats {
        self.lru.stats()
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.lru.max_bytes()
    }

    pub(super) fn tombstones(&self) -> usize {
        self.deleted.lock().len()
    }

    fn apply_locked(
        &self,
        key: &Arc<str>,
        act: Act<V>,
        version: Version,
        now: Instant,
        supersede: impl FnOnce(),
    ) -> Outcome {
        // Read before the clear is, so that what a clear overtakes is marked as older than it.
        let generation = self.generation.load(Acquire);
        let newest = self.newest(key, now);
        let known = newest.version().max(self.cleared());
        // What was set and has gone since, as a copy that was not to stay, may come again.
        let again = matches!(newest, Newest::Lost(_)) && matches!(act, Act::Set { .. });
        if version == known && !again {
            return Outcome::Known;
        }
        if version < known {
            return Outcome::Old;
        }
        // What is held, or was until it was evicted, has outlived every delete that came here; of
        // anything else a delete may have been forgotten, even if an older one is remembered.
        if !matches!(newest, Newest::Set { .. } | Newest::Lost(_))
            && matches!(act, Act::Set { .. })
            && version <= self.deleted.lock().floor()
        {
            return Outcome::Forgotten;
        }
        {
            let mut latest = self.latest.lock();
            *latest = version.max(*latest);
        }
        supersede();
        let existed = self.peek(key, now).is_some_and(|(held, _)| held.value.is_some());
        self.lost.lock().remove(key);
        match act {
            Act::Set { value, weight, expires } => {
                self.deleted.lock().remove(key);
                let held = Held { value: Some(value), version, generation, refresh: None };
                if !self.lru.insert(Arc::clone(key), held, weight + key.len(), expires) {
                    self.lost.lock().put(key, version, now + self.memory.tombstone_life);
                }
            }
            Act::Delete => {
                self.lru.remove(&**key);
                self.deleted.lock().put(key, version, now + self.memory.tombstone_life);
            }
        }
        Outcome::Applied { existed }
    }

    fn is_visible(&self, held: &Held<V>) -> bool {
        held.generation == self.generation.load(Acquire)
            || !held.is_fill() && held.version > self.cleared()
    }

    fn stripe(&self, key: &str) -> &Mutex<()> {
        let hash = usize::try_from(self.hasher.hash_one(key) % STRIPES as u64).unwrap_or(0);
        &self.stripes[hash]
    }
}
