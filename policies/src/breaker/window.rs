//! Outcomes of the last seconds, counted in slices.

use std::time::{Duration, Instant};

use super::Outcome;

/// Slices of a window: an outcome is forgotten one fortieth of the window early at most, and
/// never late.
const SLICES: u32 = 40;

/// Outcomes counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) successes: u32,
    pub(super) failures: u32,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.successes = self.successes.saturating_add(1),
            Outcome::Failure => self.failures = self.failures.saturating_add(1),
            Outcome::Ignored => {}
        }
    }

    fn subtract(&mut self, gone: Self) {
        self.successes = self.successes.saturating_sub(gone.successes);
        self.failures = self.failures.saturating_sub(gone.failures);
    }

    pub(super) fn requests(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    pub(super) fn failure_rate(self) -> f64 {
        f64::from(self.failures) / f64::from(self.requests().max(1))
    }
}

/// A sliding window over outcomes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slices: [Tally; SLICES as usize],
    total: Tally,
    slice: Duration,
    current: usize,
    /// When the current slice ends; `None` before the first outcome's time is known.
    current_ends: Option<Instant>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            slices: [Tally::default(); SLICES as usize],
            total: Tally::default(),
            slice: length / SLICES,
            current: 0,
            current_ends: None,
        }
    }

    pub(super) fn total(&self) -> Tally {
        self.total
    }

    /// Counts into the current slice; [`slide`](Self::slide) first.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.slices[self.current].add(outcome);
        self.total.add(outcome);
    }

    /// Moves on to `now`; whether outcomes were forgotten on the way.
    pub(super) fn slide(&mut self, now: Instant) -> bool {
        let Some(ends) = self.current_ends else {
            self.current_ends = Some(now + self.slice);
            return false;
        };
        if now < ends {
            return false;
        }
        let passed = 1 + now.duration_since(ends).as_nanos() / self.slice.as_nanos();
        let before = self.total;
        for _ in 0..passed.min(u128::from(SLICES)) {
            self.current = (self.current + 1) % self.slices.len();
            self.total.subtract(std::mem::take(&mut self.slices[self.current]));
        }
        // After a gap longer than the window the slices start anew at `now`.
        self.current_ends = match u32::try_from(passed) {
            Ok(passed) if passed <= SLICES => Some(ends + self.slice * passed),
            _ => Some(now + self.slice),
        };
        self.total != before
    }
}
