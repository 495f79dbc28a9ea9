//! Versions of keys that are not held: tombstones of deletes, and the last word on what was
//! evicted or has expired.
//!
//! Bounded in number and in age. When a tombstone goes, the *floor* rises to its version: a set
//! that is no newer than the floor, for a key nothing is known of, may be of a deleted key, and is
//! not believed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::version::Version;

/// The version of one key, and until when it is worth remembering.
#[derive(Clone, Copy, Debug)]
struct Mark {
    version: Version,
    until: Instant,
}

/// Versions by key, oldest out first.
#[derive(Debug)]
pub(super) struct Marks {
    by_key: HashMap<Arc<str>, Mark>,
    /// In the order in which they came; some have been replaced since.
    order: VecDeque<(Arc<str>, Version)>,
    max: usize,
    floor: Version,
}

impl Marks {
    pub(super) fn new(max: usize) -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new(), max, floor: Version::ZERO }
    }

    /// The version of a key.
    pub(super) fn get(&self, key: &str) -> Option<Version> {
        self.by_key.get(key).map(|mark| mark.version)
    }

    /// Below this, what is not known may have been forgotten.
    pub(super) fn floor(&self) -> Version {
        self.floor
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Remembers a version until then, unless a later one is remembered.
    pub(super) fn put(&mut self, key: &Arc<str>, version: Version, until: Instant) {
        if self.by_key.get(key).is_some_and(|mark| mark.version >= version) {
            return;
        }
        self.by_key.insert(Arc::clone(key), Mark { version, until });
        self.order.push_back((Arc::clone(key), version));
        while self.by_key.len() > self.max {
            let Some((key, version)) = self.order.pop_front() else { break };
            self.forget(&key, version);
        }
        if self.order.len() > 2 * self.by_key.len() + 64 {
            let by_key = &self.by_key;
            self.order.retain(|(key, version)| {
                by_key.get(key).is_some_and(|mark| mark.version == *version)
            });
        }
    }

    /// A key is held again: what was remembered of it is part of that.
    pub(super) fn remove(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    /// Every peer has the delete: it need not be remembered for longer than until then.
    pub(super) fn settle(&mut self, key: &str, version: Version, until: Instant) {
        if let Some(mark) = self.by_key.get_mut(key)
            && mark.version == version
        {
            mark.until = mark.until.min(until);
        }
    }

    /// Forgets what has reached its time.
    pub(super) fn purge(&mut self, now: Instant) {
        let floor = &mut self.floor;
        self.by_key.retain(|_, mark| {
            let stays = mark.until > now;
            if !stays {
                *floor = (*floor).max(mark.version);
            }
            stays
        });
    }

    /// Forgets all; nothing of an older version than the clear is believed any more anyway.
    pub(super) fn clear(&mut self, before: Version) {
        self.by_key.retain(|_, mark| mark.version > before);
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Version)> {
        self.by_key.iter().map(|(key, mark)| (key, mark.version))
    }

    fn forget(&mut self, key: &str, version: Version) {
        if self.by_key.get(key).is_some_and(|mark| mark.version == version) {
            self.by_key.remove(key);
            self.floor = self.floor.max(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(time: u64) -> Version {
        Version { time, node: 0 }
    }

    #[test]
    fn the_floor_rises_to_what_is_forgotten_by_number_and_by_age() {
        let now = tokio::time::Instant::now().into_std();
        let mut marks = Marks::new(2);
        for (key, time) in [("a", 1), ("b", 2), ("c", 3)] {
            marks.put(&Arc::from(key), at(time), now + Duration::from_secs(time));
        }
        assert_eq!((marks.get("a"), marks.floor(), marks.len()), (None, at(1), 2));
        marks.purge(now + Duration::from_secs(2));
        assert_eq!((marks.get("b"), marks.get("c"), marks.floor()), (None, Some(at(3)), at(2)));
    }

    #[test]
    fn replacing_one_key_again_and_again_stays_small() {
        let now = tokio::time::Instant::now().into_std();
        let mut marks = Marks::new(10);
        for time in 1..10_000 {
            marks.put(&Arc::from("a"), at(time), now);
        }
        assert!(marks.order.len() < 100);
        marks.put(&Arc::from("a"), at(5), now);
        assert_eq!(marks.get("a"), Some(at(9_999)), "the later stays");
    }
}
