//! Which of its keys a node that has just joined is given already.
//!
//! A node that joins owns its keys at once, and knows nothing of any of them. With a [`Share`] that grows it is given
//! some of its keys first, and the rest stay with the next node of the ring, which is their former owner. Each key has
//! a place of its own between 0 and 1, by a hash that has nothing to do with its place on the ring; the node is given
//! those whose place is within its share. So whoever asks decides alike, a key that was given stays given for as long
//! as the share does not shrink, and a node with a full share is as any other.
//!
//! Cost: a CRC-32 of the key, for a node whose share is not full; nothing for others. Nothing is allocated.
//!
//! ```
//! use std::time::Duration;
//! use kamaitachi_policies::ramp::Share;
//!
//! let minute = Duration::from_secs(60);
//! assert_eq!(Share::after(Duration::ZERO, minute), Share::FIRST);
//! assert_eq!(Share::after(minute, minute), Share::FULL);
//! assert!(Share::FULL.takes(b"33:000001"));
//! ```

use std::time::Duration;

use crate::ring::mix;

/// Sets a key's place apart from where it is on a ring, whichever [`Spread`](crate::ring::Spread) that has.
const APART: u32 = 0x9e37_79b9;

/// The part of its keys that a node is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// What a node begins with: a tenth.
    pub const FIRST: Self = Self(u32::MAX / 10);
    /// All of its keys.
    pub const FULL: Self = Self(u32::MAX);

    /// The share of a node that joined `since` ago: from [`FIRST`](Self::FIRST), evenly, to [`FULL`](Self::FULL) after
    /// `window`. Without a window it is full at once.
    #[must_use]
    pub fn after(since: Duration, window: Duration) -> Self {
        if since >= window {
            return Self::FULL;
        }
        let rest = u128::from(Self::FULL.0 - Self::FIRST.0);
        // Durations are below 2^94 nanoseconds, so the product fits.
        let grown = rest * since.as_nanos() / window.as_nanos();
        Self(Self::FIRST.0 + u32::try_from(grown).unwrap_or(u32::MAX - Self::FIRST.0))
    }

    /// Whether all keys are given.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.0 == Self::FULL.0
    }

    /// Whether `key` is among those that are given.
    #[must_use]
    pub fn takes(self, key: &[u8]) -> bool {
        self.is_full() || mix(crc32fast::hash(key) ^ APART) <= self.0
    }

    /// As a number to be kept in an atomic, from 0 to [`u32::MAX`] for a full share.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The share that [`to_bits`](Self::to_bits) made this number of.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_grows_evenly_from_a_tenth_to_all() {
        let part = |seconds| {
            let share = Share::after(Duration::from_secs(seconds), Duration::from_secs(90));
            f64::from(share.to_bits()) / f64::from(u32::MAX)
        };
        for (seconds, expected) in
            [(0, 0.1), (10, 0.2), (45, 0.55), (80, 0.9), (90, 1.0), (91, 1.0)]
        {
            assert!((part(seconds) - expected).abs() < 1e-6, "{seconds} s: {}", part(seconds));
        }
        assert_eq!(Share::after(Duration::ZERO, Duration::ZERO), Share::FULL);
        assert!(!Share::after(Duration::from_secs(1), Duration::MAX).is_full());
    }

    #[test]
    fn the_keys_that_are_given_are_as_many_as_the_share_says() {
        let share = Share::after(Duration::from_secs(4), Duration::from_secs(9));
        let given = (0..10_000).filter(|i| share.takes(format!("33:{i:06}").as_bytes())).count();
        assert!((4_800..=5_200).contains(&given), "{given}");
    }

    proptest! {
        #[test]
        fn a_key_that_was_given_stays_given(key in any::<Vec<u8>>(), a in 0_u64..2_000, b in 0_u64..2_000) {
            let share = |millis| Share::after(Duration::from_millis(millis), Duration::from_secs(1));
            let (early, late) = (share(a.min(b)), share(a.max(b)));
            prop_assert!(early <= late && early >= Share::FIRST);
            prop_assert!(!early.takes(&key) || late.takes(&key));
            prop_assert!(Share::FULL.takes(&key));
            prop_assert_eq!(Share::from_bits(early.to_bits()), early);
        }
    }
}
