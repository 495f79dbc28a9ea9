//! When an answer is late: by how long answers took recently.
//!
//! Whoever waits for an answer that will never come should ask somebody else, and whoever waits for one that just takes
//! its time should not. A fixed wait is wrong for one of them; a multiple of what nearly all answers took is right for
//! both: it is short where answers are fast, and grows by itself when everything gets slower, which is when asking twice
//! would do the most harm.
//!
//! # Source
//!
//! Hedged requests: Dean and Barroso, *The Tail at Scale*, CACM 56(2), 2013, which waits for the 95th percentile. Where we
//! differ: a multiple of the 99th, between two bounds, and the upper bound while too few answers are known; the last
//! thousand answers count, however long ago they were, so that no clock is needed. Percentiles are read off buckets with
//! four to each doubling, so they are up to a quarter too high.
//!
//! # Cost
//!
//! About 600 bytes. Recording is O(1); every 64th time the percentile is read anew, which looks at each bucket once.
use std::time::Duration;

/// Answers in one of the two halves that are looked at.
const HALF: u16 = 500;
/// Answers without which nothing is known.
const ENOUGH: u32 = 100;
/// How often the percentile is read.
const EVERY: u16 = 64;
/// Four to each doubling, up to two minutes in milliseconds.
const BUCKETS: usize = 68;

/// Settings of a [`Lateness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatenessConfig {
    at_least: Duration,
    at_most: Duration,
    times: u32,
}

/// Why a [`LatenessConfig`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLateness {
    /// The bounds leave nothing between them.
    #[error("late after {} ms at least and {} ms at most", .0.as_millis(), .1.as_millis())]
    Bounds(Duration, Duration),
}

impl LatenessConfig {
    /// Late after three times the 99th percentile, but `at_least` and `at_most` this.
    ///
    /// # Errors
    ///
    /// When `at_least` is more than `at_most`.
    pub fn new(at_least: Duration, at_most: Duration) -> Result<Self, InvalidLateness> {
        if at_least > at_most {
            return Err(InvalidLateness::Bounds(at_least, at_most));
        }
        Ok(Self { at_least, at_most, times: 3 })
    }
}

impl Default for LatenessConfig {
    /// From 50 ms, several times what a node needs for an answer that is not in its cache, to 1 s.
    fn default() -> Self {
        Self { at_least: Duration::from_millis(50), at_most: Duration::from_secs(1), times: 3 }
    }
}

/// Knows when an answer is late. See the [module](self).
///
/// ```
/// use std::time::Duration;
/// use kamaitachi_policies::lateness::{Lateness, LatenessConfig};
///
/// let mut lateness = Lateness::new(LatenessConfig::default());
/// assert_eq!(lateness.after(), Duration::from_secs(1));
/// (0..1_000).for_each(|_| lateness.record(Duration::from_millis(40)));
/// assert_eq!(lateness.after(), Duration::from_millis(3 * 48));
/// ```
#[derive(Clone, Debug)]
pub struct Lateness {
    config: LatenessConfig,
    /// The answers of this half and of the one before, by how long they took.
    now: [u16; BUCKETS],
    before: [u16; BUCKETS],
    recorded: u16,
    after: Duration,
}

impl Lateness {
    /// One that knows no answer yet.
    #[must_use]
    pub fn new(config: LatenessConfig) -> Self {
        let (now, before) = ([0; BUCKETS], [0; BUCKETS]);
        Self { config, now, before, recorded: 0, after: config.at_most }
    }

    /// Notes how long an answer took.
    pub fn record(&mut self, took: Duration) {
        self.now[bucket(took)] += 1;
        self.recorded += 1;
        if self.recorded.is_multiple_of(EVERY) {
            self.read();
        }
        if self.recorded == HALF {
            self.recorded = 0;
            self.before = std::mem::replace(&mut self.now, [0; BUCKETS]);
        }
    }

    /// How long after the request an answer is late.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }

    fn read(&mut self) {
        let counts =
            || self.now.iter().zip(&self.before).map(|(a, b)| u32::from(*a) + u32::from(*b));
        let known: u32 = counts().sum();
        if known < ENOUGH {
            return;
        }
        let mut left = known.div_ceil(100);
        // From the slowest on, as one in a hundred is slower.
        let slow = counts().rposition(|n| {
            let is_in = left <= n;
            left = left.saturating_sub(n);
            is_in
        });
        let usual = upper_bound(slow.unwrap_or(0));
        self.after = usual
            .saturating_mul(self.config.times)
            .clamp(self.config.at_least, self.config.at_most);
    }
}

/// Where a time is counted.
fn bucket(took: Duration) -> usize {
    let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    let bucket = if millis < 4 {
        millis
    } else {
        let exponent = millis.ilog2();
        (exponent - 1) * 4 + ((millis >> (exponent - 2)) & 3)
    };
    (bucket as usize).min(BUCKETS - 1)
}

/// The time that everything in a bucket stays below.
fn upper_bound(bucket: usize) -> Duration {
    let next = bucket as u64 + 1;
    Duration::from_millis(if next < 4 { next } else { (4 + next % 4) << (next / 4 - 1) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn after(times: impl IntoIterator<Item = u64>) -> Duration {
        let mut lateness = Lateness::new(LatenessConfig::default());
        times.into_iter().for_each(|time| lateness.record(millis(time)));
        lateness.after()
    }

    #[test]
    fn little_is_known_at_first_and_fast_answers_make_it_the_shortest_wait() {
        assert_eq!(after([1; 99]), millis(1_000));
        assert_eq!(after([1; 200]), millis(50));
    }

    #[test]
    fn one_slow_answer_in_a_hundred_changes_nothing_and_two_do() {
        let one_in = |n: u64| (0..2_000).map(move |i| if i % n == 0 { 200 } else { 1 });
        assert_eq!(after(one_in(200)), millis(50));
        assert_eq!(after(one_in(50)), millis(3 * 224));
    }

    #[test]
    fn what_was_a_thousand_answers_ago_is_forgotten() {
        assert_eq!(after(std::iter::repeat_n(100, 1_000)), millis(3 * 112));
        assert_eq!(after(std::iter::repeat_n(100, 1_000).chain([1; 1_500])), millis(50));
    }

    #[test]
    fn when_all_is_slow_it_waits_as_long_as_it_may() {
        assert_eq!(after([60_000; 500]), millis(1_000));
        assert!(LatenessConfig::new(millis(2), millis(1)).is_err());
    }

    proptest! {
        #[test]
        fn every_time_is_below_its_bound_and_not_far(time in 0_u64..130_000) {
            let bound = upper_bound(bucket(millis(time)));
            prop_assert!(millis(time) < bound);
            prop_assert!(bound <= millis(time + time / 4 + 1));
        }

        #[test]
        fn the_wait_stays_within_its_bounds(times in prop::collection::vec(0_u64..200_000, 0..3_000)) {
            let after = after(times);
            prop_assert!(after >= millis(50) && after <= millis(1_000));
        }
    }
}
