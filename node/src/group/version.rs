//! The order of all writes: a hybrid logical clock.
//!
//! Kulkarni, Demirbas, Madappa, Avva, Leone: *Logical Physical Clocks* (2014). A reading is wall
//! time in milliseconds and a counter; it is later than every reading its taker has seen, and
//! close to wall time. What we changed: a peer whose clock is far ahead doesn't drag the others
//! along. A clock follows what it sees by at most [`Clock::max_skew`]; that a write still follows
//! the one it replaces is secured key by key, by [`Clock::after`].

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The counter below the milliseconds.
const COUNTER_BITS: u32 = 16;
/// A version this far in the future is a fault, not a skew.
const ABSURD: Duration = Duration::from_secs(24 * 3600);

/// A reading of a [`Clock`] and whose it is. Later writes have greater versions; equal times are
/// decided by the number of the node, the same way everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Milliseconds of the epoch in the upper 48 bits, a counter in the lower 16.
    pub time: u64,
    /// A random number for each start of a peer.
    pub node: u64,
}

impl Version {
    /// Before every other.
    pub const ZERO: Self = Self { time: 0, node: 0 };

    /// The wall time in it, in milliseconds of the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.time >> COUNTER_BITS
    }
}

/// Gives versions. Lock-free; one for each group and peer.
#[derive(Debug)]
pub struct Clock {
    node: u64,
    last: AtomicU64,
    max_skew: u64,
}

impl Clock {
    /// A clock that signs with `node` and follows others `max_skew` ahead of wall time at most.
    #[must_use]
    pub fn new(node: u64, max_skew: Duration) -> Self {
        let max_skew = u64::try_from(max_skew.as_millis()).unwrap_or(u64::MAX >> COUNTER_BITS);
        Self { node, last: AtomicU64::new(0), max_skew }
    }

    /// What it signs with.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.node
    }

    /// How far ahead of its own wall time it follows others, in milliseconds.
    #[must_use]
    pub fn max_skew(&self) -> u64 {
        self.max_skew
    }

    /// A version later than all this clock gave before; `wall` is in milliseconds of the epoch.
    pub fn tick(&self, wall: u64) -> Version {
        let wall = wall << COUNTER_BITS;
        let next = |last: u64| Some(last.saturating_add(1).max(wall));
        let last = self.last.fetch_update(Relaxed, Relaxed, next).unwrap_or_else(|last| last);
        Version { time: last.saturating_add(1).max(wall), node: self.node }
    }

    /// A version later than all this clock gave before *and* than `known`, however far ahead
    /// whoever made `known` was.
    pub fn after(&self, known: Version, wall: u64) -> Version {
        let ticked = self.tick(wall);
        if ticked > known {
            return ticked;
        }
        Version { time: known.time.saturating_add(1), node: self.node }
    }

    /// Follows a version that came from a peer, within the skew allowed.
    pub fn observe(&self, seen: Version, wall: u64) {
        let bound = wall.saturating_add(self.max_skew).min(u64::MAX >> COUNTER_BITS);
        let seen = seen.time.min(bound << COUNTER_BITS);
        self.last.fetch_max(seen, Relaxed);
    }
}

/// Whether a version is a day or more ahead of `wall`: it is refused rather than believed.
pub(crate) fn is_absurd(version: Version, wall: u64) -> bool {
    version.millis() > wall.saturating_add(u64::try_from(ABSURD.as_millis()).unwrap_or(u64::MAX))
}

/// Wall time in milliseconds of the epoch.
pub(crate) fn wall() -> u64 {
    millis(SystemTime::now())
}

/// A time in milliseconds of the epoch; 0 before it.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn versions_only_grow_whatever_the_wall_clock_does(
            steps in prop::collection::vec((0_u64..1 << 40, prop::option::of(0_u64..1 << 60)), 1..50)
        ) {
            let clock = Clock::new(7, Duration::from_secs(1));
            let mut last = Version::ZERO;
            for (wall, seen) in steps {
                if let Some(time) = seen {
                    clock.observe(Version { time, node: 9 }, wall);
                }
                let next = clock.tick(wall);
                prop_assert!(next > last);
                last = next;
            }
        }

        #[test]
        fn what_replaces_a_write_is_later_than_it_however_far_ahead_its_maker_was(
            wall in 0_u64..1 << 40, ahead in 0_u64..1 << 62
        ) {
            let clock = Clock::new(7, Duration::from_secs(1));
            let known = Version { time: ahead, node: 9 };
            clock.observe(known, wall);
            prop_assert!(clock.after(known, wall) > known);
        }

        #[test]
        fn nobody_drags_a_clock_further_than_the_skew(wall in 0_u64..1 << 40, time in 0_u64..u64::MAX) {
            let clock = Clock::new(7, Duration::from_secs(60));
            clock.observe(Version { time, node: 9 }, wall);
            prop_assert!(clock.tick(wall).millis() <= wall + 60_000);
        }
    }

    #[test]
    fn a_day_ahead_is_absurd_and_two_hours_are_not() {
        let at = |hours: u64| Version { time: (hours * 3_600_000) << COUNTER_BITS, node: 1 };
        assert!(!is_absurd(at(2), 0) && is_absurd(at(25), 0));
    }
}
