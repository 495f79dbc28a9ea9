//! Whether to try an upstream at all: a circuit breaker.
//!
//! # States
//!
//! - **Closed**: every request may try; outcomes are counted over a sliding window.
//! - **Closed → Open**: the window holds at least `min_requests` outcomes and at least
//!   `failure_percent` of them are failures. Looked at whenever an outcome arrives and whenever
//!   old ones leave the window.
//! - **Open**: none may try; a refusal tells the time that remains.
//! - **Open → Half-open**: `open_for` has passed.
//! - **Half-open**: `half_open_requests` may try, in all. One that was given up without an outcome
//!   hands its place back.
//! - **Half-open → Closed**: `close_after` successes in a row, with an empty window.
//! - **Half-open → Open**: one failure.
//!
//! A request admitted in one of these stays has no say in any later one: its [`Permit`] names the
//! stay. So a slow failure from before the opening can't spoil the half-open trial.
//!
//! # Source
//!
//! The pattern is Michael Nygard's (*Release It!*, 2007); window, rate threshold and trial quota are
//! those of Hystrix and resilience4j. Where we differ: permits are bound to the stay in a state, and
//! cancelled requests count for nothing.
//!
//! # Cost
//!
//! 464 bytes. Each call is O(1): the window is a ring of 40 slices with running totals, and
//! a slice is cleared once for each fortieth of the window that passes. Methods take `&mut self`:
//! callers on several threads put the breaker behind a lock and hold it for a call only.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use kamaitachi_policies::breaker::{Breaker, BreakerConfig, Outcome, Verdict};
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example")]
//! let now = Instant::now();
//! let mut breaker = Breaker::new(BreakerConfig::default());
//! for _ in 0..10 {
//!     let Verdict::Admit(permit) = breaker.try_acquire(now) else { unreachable!() };
//!     breaker.record(permit, Outcome::Failure, now);
//! }
//! assert!(matches!(breaker.try_acquire(now), Verdict::Refuse(left) if left.as_secs() == 30));
//! ```

mod config;
mod window;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use config::{BreakerConfig, BreakerSettings, InvalidBreaker};
use window::{Tally, Window};

/// What a refusal in the half-open state asks to wait: the trial's end depends on its answers,
/// so this is a guess, one second.
pub const TRIAL_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the breaker says to a request.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// It may try; what came of it is to be [recorded](Breaker::record) with the permit.
    Admit(Permit),
    /// It may not; asking again makes sense after this time.
    Refuse(Duration),
}

/// The right to one try. Hand it back through [`Breaker::record`] whatever happens: a permit that
/// is dropped instead keeps its place in a half-open trial for as long as the trial lasts.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    stay: u64,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream did its job, whatever it thought of the request.
    Success,
    /// The upstream failed: an error status of its own, a time-out, a connection error.
    Failure,
    /// Nothing can be said of the upstream: the request was cancelled, or failed on our side.
    Ignored,
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// A few requests pass, on trial.
    HalfOpen,
}

impl State {
    /// `CLOSED`, `OPEN` or `HALF_OPEN`, as monitoring shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }
}

/// A breaker as monitoring sees it.
///
/// The counters are of outcomes recorded: closed, those in the window; open, those that were in it
/// when it opened (or in the trial that failed); half-open, those of the trial so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSnapshot {
    /// The state at the time of asking.
    pub state: State,
    /// Successes and failures together.
    pub requests: u32,
    /// Tries that succeeded.
    pub successes: u32,
    /// Tries that failed.
    pub failures: u32,
    /// `failures / requests`, 0 to 1; 0 without requests.
    pub failure_rate: f64,
    /// Successes since the last failure or change of state; kept while open.
    pub consecutive_successes: u32,
    /// Failures since the last success or change of state; kept while open.
    pub consecutive_fails: u32,
    /// When the state last changed; `None` if it never did.
    pub state_changed_at: Option<Instant>,
}

/// A circuit breaker. See the [module](self) for its states and its cost.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    stage: Stage,
    /// Counts changes of state: what permits are bound to.
    stay: u64,
    changed_at: Option<Instant>,
    latest: Option<Instant>,
    streak: Streak,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "closed is the common state: no hop to its window")]
enum Stage {
    Closed(Window),
    Open { until: Instant, counted: Tally },
    HalfOpen { admitted: u32, counted: Tally },
}

#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    successes: u32,
    failures: u32,
}

impl Breaker {
    /// A closed breaker that has seen nothing.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            stage: Stage::Closed(Window::new(config.window)),
            config,
            stay: 0,
            changed_at: None,
            latest: None,
            streak: Streak::default(),
        }
    }

    /// Asks to try at `now`. A `now` before an earlier call's counts as that call's.
    pub fn try_acquire(&mut self, now: Instant) -> Verdict {
        let now = self.advance(now);
        match &mut self.stage {
            Stage::Closed(_) => Verdict::Admit(Permit { stay: self.stay }),
            Stage::Open { until, .. } => Verdict::Refuse(until.saturating_duration_since(now)),
            Stage::HalfOpen { admitted, .. } if *admitted < self.config.half_open_requests => {
                *admitted += 1;
                Verdict::Admit(Permit { stay: self.stay })
            }
            Stage::HalfOpen { .. } => Verdict::Refuse(TRIAL_RETRY_AFTER),
        }
    }

    /// Says what came of a try. Permits of an earlier stay in a state change nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is good for one outcome")]
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Instant) {
        let now = self.advance(now);
        if permit.stay != self.stay {
            return;
        }
        match (&mut self.stage, outcome) {
            (Stage::HalfOpen { admitted, .. }, Outcome::Ignored) => {
                *admitted = admitted.saturating_sub(1);
            }
            (_, Outcome::Ignored) | (Stage::Open { .. }, _) => {}
            (Stage::Closed(window), _) => {
                window.add(outcome);
                self.streak.add(outcome);
                self.open_if_failing(now);
            }
            (Stage::HalfOpen { counted, .. }, _) => {
                counted.add(outcome);
                let counted = *counted;
                self.streak.add(outcome);
                if outcome == Outcome::Failure {
                    self.open(counted, now);
                } else if self.streak.successes >= self.config.close_after {
                    self.enter(Stage::Closed(Window::new(self.config.window)), now);
                    self.streak = Streak::default();
                }
            }
        }
    }

    /// The breaker as monitoring sees it at `now`. Passes time like any other call: a breaker whose
    /// open time is over reports half-open.
    pub fn snapshot(&mut self, now: Instant) -> BreakerSnapshot {
        self.advance(now);
        let (state, counted) = match &self.stage {
            Stage::Closed(window) => (State::Closed, window.total()),
            Stage::Open { counted, .. } => (State::Open, *counted),
            Stage::HalfOpen { counted, .. } => (State::HalfOpen, *counted),
        };
        BreakerSnapshot {
            state,
            requests: counted.requests(),
            successes: counted.successes,
            failures: counted.failures,
            failure_rate: counted.failure_rate(),
            consecutive_successes: self.streak.successes,
            consecutive_fails: self.streak.failures,
            state_changed_at: self.changed_at,
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> BreakerConfig {
        self.config
    }

    /// Lets time pass, forward only; the resulting time.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        match &mut self.stage {
            Stage::Closed(window) => {
                if window.slide(now) {
                    self.open_if_failing(now);
                }
            }
            Stage::Open { until, .. } if now >= *until => {
                self.enter(Stage::HalfOpen { admitted: 0, counted: Tally::default() }, now);
                self.streak = Streak::default();
            }
            Stage::Open { .. } | Stage::HalfOpen { .. } => {}
        }
        now
    }

    fn open_if_failing(&mut self, now: Instant) {
        if let Stage::Closed(window) = &self.stage
            && self.config.is_failing(window.total())
        {
            self.open(window.total(), now);
        }
    }

    fn open(&mut self, counted: Tally, now: Instant) {
        self.enter(Stage::Open { until: now + self.config.open_for, counted }, now);
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.stay += 1;
        self.changed_at = Some(now);
    }
}

impl Streak {
    fn add(&mut self, outcome: Outcome) {
        *self = match outcome {
            Outcome::Success => Self { successes: self.successes.saturating_add(1), failures: 0 },
            Outcome::Failure => Self { successes: 0, failures: self.failures.saturating_add(1) },
            Outcome::Ignored => *self,
        };
    }
}
