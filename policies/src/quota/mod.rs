//! How many requests may pass: token buckets, one for all or one for each key.
//!
//! A bucket at rest admits its burst at once, then its rate, evenly. A refusal says how long to
//! wait; it costs nothing of what will be admitted later.
//!
//! # Source
//!
//! The arithmetic is [`governor`]'s generic cell rate algorithm (ITU-T I.371), a token bucket kept
//! in a single number: the theoretical arrival time. Where we differ: time is passed in, only ever
//! moves forward, and starts at the first call; the interval between tokens is rounded up, never
//! down, so that no rate is exceeded; and keyed buckets have a hard limit on their number.
//!
//! # Cost
//!
//! A decision is a few atomic operations on one word, without a lock; keyed, one lookup in a
//! sharded hash map more. All methods take `&self`, from any thread. A bucket is 72 bytes; a
//! keyed one, 8 bytes and its key in a hash map.

mod keyed;
mod timeline;

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::RateLimiter;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};

pub use keyed::KeyedBuckets;
use timeline::Timeline;

/// What a bucket says to a request.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass; a token was taken.
    Admit,
    /// It may not; the next token comes after this time, unless another takes it first.
    Refuse(Duration),
}

/// A rate and a burst that a bucket can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    rate: NonZeroU32,
    burst: NonZeroU32,
}

/// Why a [`Quota`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuota {
    /// The rate is 0 or above [`Quota::MAX_RATE`].
    #[error("rate is {0} a second, expected 1 to {max}", max = Quota::MAX_RATE)]
    Rate(u32),
    /// A bucket without room for a single token would refuse for ever.
    #[error("burst is 0, expected 1 or more")]
    Burst,
}

impl Quota {
    /// The highest rate, in tokens a second: above it the nanosecond is too coarse to keep the
    /// rate within 0.1 %.
    pub const MAX_RATE: u32 = 1_000_000;

    /// `rate` requests a second with up to `burst` at once.
    ///
    /// # Errors
    ///
    /// When `rate` is 0 or above [`MAX_RATE`](Self::MAX_RATE), or `burst` is 0.
    pub const fn new(rate: u32, burst: u32) -> Result<Self, InvalidQuota> {
        match (NonZeroU32::new(rate), NonZeroU32::new(burst)) {
            (Some(rate), Some(burst)) if rate.get() <= Self::MAX_RATE => Ok(Self { rate, burst }),
            (Some(_), None) if rate <= Self::MAX_RATE => Err(InvalidQuota::Burst),
            _ => Err(InvalidQuota::Rate(rate)),
        }
    }

    /// Requests a second.
    #[must_use]
    pub const fn rate(self) -> u32 {
        self.rate.get()
    }

    /// Requests at once, from rest.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    fn cells(self) -> governor::Quota {
        let interval = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(self.rate.get())));
        governor::Quota::with_period(interval)
            .expect("a second divided by a rate and rounded up is a nanosecond at least")
            .allow_burst(self.burst)
    }
}

/// One token bucket, shared by all that pass a reference to it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use kamaitachi_policies::quota::{Bucket, Quota, Verdict};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// let bucket = Bucket::new(Quota::new(2, 1)?);
/// assert_eq!(bucket.take(now), Verdict::Admit);
/// assert_eq!(bucket.take(now), Verdict::Refuse(Duration::from_millis(500)));
/// assert_eq!(bucket.take(now + Duration::from_millis(500)), Verdict::Admit);
/// # Ok::<(), kamaitachi_policies::quota::InvalidQuota>(())
/// ```
#[derive(Debug)]
pub struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, Timeline, NoOpMiddleware<Nanos>>,
    quota: Quota,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::direct_with_clock(quota.cells(), Timeline::default()), quota }
    }

    /// Takes a token if there is one. A `now` before an earlier call's counts as that call's.
    pub fn take(&self, now: Instant) -> Verdict {
        let at = self.limiter.clock().advance(now);
        match self.limiter.check() {
            Ok(()) => Verdict::Admit,
            Err(until) => Verdict::Refuse(until.wait_time_from(at)),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }
}
