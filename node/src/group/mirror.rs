//! Copies of hot keys that other peers own.
//!
//! Asking the owner costs a call; a key that is asked for often enough is kept here for a short
//! while instead. The life of a copy bounds how stale it may be where a write does not reach this
//! peer; a write that does reach it takes the copy away.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::flights::Overtaken;
use crate::cache::lru::{Lru, LruStats, expiry};

/// Keys whose rate is watched at a time.
const WATCHED: usize = 4096;
/// Locks, by key, so that a copy and the write that takes it away meet.
const WINDOW: Duration = Duration::from_secs(1);

/// What makes a copy, and what bounds it.
#[derive(Clone, Copy, Debug)]
pub struct HotKeys {
    /// Bytes of all copies; 0 keeps none. Default 8 MiB.
    pub max_bytes: usize,
    /// Gets of a key in a second that make it hot. Default 10.
    pub rate: u32,
    /// How long a copy lives. Default 5 s.
    pub life: Duration,
}

impl Default for HotKeys {
    fn default() -> Self {
        Self { max_bytes: 8 << 20, rate: 10, life: Duration::from_secs(5) }
    }
}

pub(super) struct Mirror<V> {
    lru: Lru<Arc<str>, (V, Instant)>,
    heat: Mutex<Vec<Heat>>,
    hasher: RandomState,
    hot: HotKeys,
}

/// Gets of one key in one window; another key of the same place takes it over when the window is
/// past.
#[derive(Clone, Copy, Debug, Default)]
struct Heat {
    hash: u64,
    count: u32,
    since: Option<Instant>,
}

impl<V: Clone> Mirror<V> {
    pub(super) fn new(hot: HotKeys) -> Self {
        Self {
            lru: Lru::new(hot.max_bytes),
            heat: Mutex::new(vec![Heat::default(); if hot.max_bytes == 0 { 0 } else { WATCHED }]),
            hasher: RandomState::new(),
            hot,
        }
    }

    /// The copy of a key with the end of what it is a copy of.
    pub(super) fn get(&self, key: &str, now: Instant) -> Option<(V, Instant)> {
        if self.hot.max_bytes == 0 { None } else { self.lru.get(key, now) }
    }

    /// Counts a get that the owner answered, and keeps a copy if that makes the key hot, unless a
    /// write has overtaken the answer.
    pub(super) fn offer(
        &self,
        key: &Arc<str>,
        (value, weight): (&V, usize),
        expires: Instant,
        now: Instant,
        overtaken: &Overtaken,
    ) {
        if self.hot.max_bytes == 0 || !self.is_hot(key, now) {
            return;
        }
        let until = expiry(now, self.hot.life).min(expires);
        self.lru.insert(Arc::clone(key), (value.clone(), expires), weight + key.len(), until);
        // A write marks what is under way first and removes the copy then; so whichever order
        // these two take with those, the copy goes.
        if overtaken.get() {
            self.lru.remove(&**key);
        }
    }

    pub(super) fn remove(&self, key: &str) {
        self.lru.remove(key);
    }

    pub(super) fn clear(&self) {
        self.lru.clear();
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.lru.purge(now);
    }

    pub(super) fn stats(&self) -> LruStats {
        self.lru.stats()
    }

    fn is_hot(&self, key: &str, now: Instant) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut heat = self.heat.lock();
        let place = usize::try_from(hash % heat.len() as u64).unwrap_or(0);
        let slot = &mut heat[place];
        let past = slot.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW);
        if past {
            *slot = Heat { hash, count: 0, since: Some(now) };
        }
        if slot.hash == hash {
            slot.count = slot.count.saturating_add(1);
        }
        slot.hash == hash && slot.count >= self.hot.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> Mirror<u32> {
        Mirror::new(HotKeys { max_bytes: 1 << 16, rate: 3, life: Duration::from_secs(5) })
    }

    #[test]
    fn a_key_is_copied_at_its_rate_for_a_short_life() {
        let (mirror, key) = (mirror(), Arc::from("k"));
        let mut now = tokio::time::Instant::now().into_std();
        let far = now + Duration::from_secs(100);
        let free = Overtaken::default();
        for asked in 0..3 {
            assert!(mirror.get("k", now).is_none(), "{asked}");
            mirror.offer(&key, (&7, 4), far, now, &free);
        }
        assert_eq!(mirror.get("k", now), Some((7, far)));
        now += Duration::from_secs(5);
        assert!(mirror.get("k", now).is_none());
        mirror.offer(&key, (&7, 4), far, now, &free);
        assert!(mirror.get("k", now).is_none(), "the rate is of one second");
    }
}
