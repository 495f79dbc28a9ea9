//! The numbers of a breaker, checked.

use std::time::Duration;

use super::window::Tally;

/// The numbers of a breaker as they are written down. [`BreakerConfig::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How far back outcomes count. Default 10 s.
    pub window: Duration,
    /// Outcomes in the window below which it never opens. Default 10.
    pub min_requests: u32,
    /// Per cent of failures at which it opens. Default 50.
    pub failure_percent: u32,
    /// How long it stays open. Default 30 s.
    pub open_for: Duration,
    /// Requests on trial while half-open. Default 10.
    pub half_open_requests: u32,
    /// Successes in a row that close it again. Default 5.
    pub close_after: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_requests: 10,
            failure_percent: 50,
            open_for: Duration::from_secs(30),
            half_open_requests: 10,
            close_after: 5,
        }
    }
}

/// Settings that a breaker can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    pub(super) window: Duration,
    min_requests: u32,
    failure_percent: u32,
    pub(super) open_for: Duration,
    pub(super) half_open_requests: u32,
    pub(super) close_after: u32,
}

/// Why settings could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBreaker {
    /// Outcomes would be forgotten at once, or kept for good.
    #[error("window is {0:?}, expected 100 ms to 1 h")]
    Window(Duration),
    /// It would open without a failure.
    #[error("min_requests is 0, expected 1 or more")]
    MinRequests,
    /// It would open without a failure, or never.
    #[error("failure_percent is {0}, expected 1 to 100")]
    FailurePercent(u32),
    /// It would not open at all, or stay open for good.
    #[error("open_for is {0:?}, expected 1 ms to 24 h")]
    OpenFor(Duration),
    /// The trial could not end well.
    #[error(
        "close_after is {close_after} with half_open_requests {half_open_requests}, \
         expected 1 to half_open_requests"
    )]
    CloseAfter {
        /// The value given.
        close_after: u32,
        /// Its upper limit.
        half_open_requests: u32,
    },
}

impl BreakerConfig {
    /// Checks `settings`.
    ///
    /// # Errors
    ///
    /// The first number out of its range.
    pub fn new(settings: BreakerSettings) -> Result<Self, InvalidBreaker> {
        let BreakerSettings {
            window,
            min_requests,
            failure_percent,
            open_for,
            half_open_requests,
            close_after,
        } = settings;
        if !(Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&window) {
            return Err(InvalidBreaker::Window(window));
        }
        if min_requests == 0 {
            return Err(InvalidBreaker::MinRequests);
        }
        if !(1..=100).contains(&failure_percent) {
            return Err(InvalidBreaker::FailurePercent(failure_percent));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&open_for) {
            return Err(InvalidBreaker::OpenFor(open_for));
        }
        if !(1..=half_open_requests).contains(&close_after) {
            return Err(InvalidBreaker::CloseAfter { close_after, half_open_requests });
        }
        let config = Self {
            window,
            min_requests,
            failure_percent,
            open_for,
            half_open_requests,
            close_after,
        };
        Ok(config)
    }

    /// The numbers, to print or to change.
    #[must_use]
    pub const fn settings(self) -> BreakerSettings {
        BreakerSettings {
            window: self.window,
            min_requests: self.min_requests,
            failure_percent: self.failure_percent,
            open_for: self.open_for,
            half_open_requests: self.half_open_requests,
            close_after: self.close_after,
        }
    }

    pub(super) fn is_failing(&self, counted: Tally) -> bool {
        let requests = u64::from(counted.requests());
        requests >= u64::from(self.min_requests)
            && u64::from(counted.failures) * 100 >= requests * u64::from(self.failure_percent)
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self::new(BreakerSettings::default()).expect("the default settings are within their ranges")
    }
}
