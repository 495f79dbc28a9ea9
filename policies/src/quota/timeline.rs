//! The clock that governor reads: whatever was passed in last, never going back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use governor::clock::Clock;
use governor::nanos::Nanos;

/// 146 years. Leaves governor's sums room below `u64::MAX`.
const FAR: u64 = 1 << 62;

/// Nanoseconds since the first instant seen; the latest instant wins.
///
/// Racing callers and clocks that step back thus can't mint tokens, and a step back can't freeze
/// a bucket: time stands still until it is caught up with.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    origin: OnceLock<Instant>,
    latest: AtomicU64,
}

impl Timeline {
    /// Moves to `now` if that is forward; the resulting time.
    pub(super) fn advance(&self, now: Instant) -> Nanos {
        let origin = *self.origin.get_or_init(|| now);
        let since = now.saturating_duration_since(origin).as_nanos();
        let since = u64::try_from(since).unwrap_or(FAR).min(FAR);
        // The number alone is shared, nothing is published with it.
        Nanos::new(self.latest.fetch_max(since, Ordering::Relaxed).max(since))
    }
}

impl Clock for Timeline {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.latest.load(Ordering::Relaxed))
    }
}
