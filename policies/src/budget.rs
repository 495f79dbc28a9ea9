//! How many retries the traffic can afford: a retry budget.
//!
//! A fixed number of retries per request multiplies load just when upstreams are failing. A budget
//! ties retries to requests instead: each request deposits a fraction of a retry, each retry
//! withdraws a whole one, both are forgotten after a while. So retries never exceed that fraction
//! of the requests of the last seconds, plus a small reserve that lets quiet clients retry at all.
//!
//! # Source
//!
//! Finagle's [`RetryBudget`](https://twitter.github.io/finagle/guide/Clients.html#retries): a
//! leaky token bucket with a reserve of retries per second. Where we differ: the time is passed
//! in; withdrawals are counted beside the deposits of the same slice and leave the window with
//! them, so that each withdrawal leaves the retries of the window within the bound; all arithmetic is in whole hundredths.
//!
//! # Cost
//!
//! 120 bytes; each call is O(1), an addition or two (a slice is cleared once a second). Methods
//! take `&mut self`: keep one budget for each worker thread, or one for all behind a short lock.

use std::time::{Duration, Instant};

/// How far back requests count, in slices of a second.
const SLICES: usize = 10;
const SLICE: Duration = Duration::from_secs(1);

/// What one retry costs; a request deposits as many of these as its per cent.
const RETRY: i64 = 100;

/// Settings of a [`RetryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetConfig {
    percent: u16,
    floor: u16,
}

/// Why a [`BudgetConfig`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBudget {
    /// More than ten retries a request is no budget.
    #[error("retry budget is {0} % of the requests, expected 0 to 1000")]
    Percent(u16),
}

impl BudgetConfig {
    /// Retries up to `percent` of the requests of the last 10 s, plus `floor` a second (that is,
    /// ten times `floor` at once after a quiet time). Both 0: never retry.
    ///
    /// # Errors
    ///
    /// When `percent` is above 1000.
    pub const fn new(percent: u16, floor: u16) -> Result<Self, InvalidBudget> {
        if percent > 1_000 {
            Err(InvalidBudget::Percent(percent))
        } else {
            Ok(Self { percent, floor })
        }
    }
}

impl Default for BudgetConfig {
    /// A tenth of the requests: ten times fewer than one retry each would add, and enough to hide
    /// one dead node of ten. One a second beside that.
    fn default() -> Self {
        Self { percent: 10, floor: 1 }
    }
}

/// A retry budget. See the [module](self) for what it promises.
///
/// ```
/// use std::time::Instant;
/// use kamaitachi_policies::budget::{BudgetConfig, RetryBudget};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// let mut budget = RetryBudget::new(BudgetConfig::new(50, 0)?);
/// assert!(!budget.withdraw(now));
/// budget.deposit(now);
/// budget.deposit(now);
/// assert!(budget.withdraw(now));
/// assert!(!budget.withdraw(now));
/// # Ok::<(), kamaitachi_policies::budget::InvalidBudget>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    config: BudgetConfig,
    /// Deposits less withdrawals of each slice, in hundredths of a retry.
    slices: [i64; SLICES],
    total: i64,
    current: usize,
    current_ends: Option<Instant>,
}

impl RetryBudget {
    /// A budget that holds its reserve and nothing else.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Self {
        Self { config, slices: [0; SLICES], total: 0, current: 0, current_ends: None }
    }

    /// Counts a request (not a retry). A `now` before an earlier call's counts as that call's.
    pub fn deposit(&mut self, now: Instant) {
        self.slide(now);
        self.add(i64::from(self.config.percent));
    }

    /// Takes a retry out of the budget; false, and nothing taken, if there is none.
    #[must_use]
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.slide(now);
        let affordable = self.balance_in_hundredths() >= RETRY;
        if affordable {
            self.add(-RETRY);
        }
        affordable
    }

    /// Takes back a withdrawal whose retry was not made.
    pub fn give_back(&mut self, now: Instant) {
        self.slide(now);
        self.add(RETRY);
    }

    /// Whole retries that could be withdrawn at `now`.
    #[must_use]
    pub fn balance(&mut self, now: Instant) -> u64 {
        self.slide(now);
        u64::try_from(self.balance_in_hundredths() / RETRY).unwrap_or(0)
    }

    fn balance_in_hundredths(&self) -> i64 {
        let reserve = i64::from(self.config.floor) * RETRY * SLICES as i64;
        self.total.saturating_add(reserve)
    }

    fn add(&mut self, amount: i64) {
        self.slices[self.current] = self.slices[self.current].saturating_add(amount);
        self.total = self.total.saturating_add(amount);
    }

    fn slide(&mut self, now: Instant) {
        let ends = *self.current_ends.get_or_insert(now + SLICE);
        if now < ends {
            return;
        }
        let passed = now.duration_since(ends).as_secs().saturating_add(1);
        for _ in 0..passed.min(SLICES as u64) {
            self.current = (self.current + 1) % SLICES;
            self.total -= std::mem::take(&mut self.slices[self.current]);
        }
        // After a gap longer than the window the slices start anew at `now`.
        let anew = passed > SLICES as u64;
        self.current_ends =
            Some(if anew { now + SLICE } else { ends + Duration::from_secs(passed) });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn budget(percent: u16, floor: u16) -> RetryBudget {
        RetryBudget::new(BudgetConfig::new(percent, floor).unwrap())
    }

    fn withdrawn(budget: &mut RetryBudget, tries: u32, now: Instant) -> u32 {
        (0..tries).map(|_| u32::from(budget.withdraw(now))).sum()
    }

    #[test]
    fn a_tenth_of_the_requests_and_the_reserve_can_be_retried() {
        let (mut budget, now) = (budget(10, 1), start());
        assert_eq!(withdrawn(&mut budget, 50, now), 10, "the reserve of a quiet time");
        (0..100).for_each(|_| budget.deposit(now));
        assert_eq!(budget.balance(now), 10);
        assert_eq!(withdrawn(&mut budget, 50, now), 10);
    }

    #[test]
    fn deposits_and_withdrawals_are_forgotten_together_after_ten_seconds() {
        let (mut budget, now) = (budget(100, 0), start());
        (0..8).for_each(|_| budget.deposit(now));
        assert_eq!(withdrawn(&mut budget, 3, now), 3);
        assert_eq!(budget.balance(now + Duration::from_millis(9_900)), 5);
        assert_eq!(budget.balance(now + Duration::from_secs(10)), 0);
        assert_eq!(budget.balance(now), 0, "a step back brings nothing back");
    }

    #[test]
    fn what_was_not_used_can_be_given_back() {
        let (mut budget, now) = (budget(0, 1), start());
        assert_eq!(withdrawn(&mut budget, 50, now), 10);
        budget.give_back(now);
        assert_eq!(withdrawn(&mut budget, 50, now), 1);
    }

    #[test]
    fn nothing_is_affordable_when_both_numbers_are_zero() {
        let (mut budget, now) = (budget(0, 0), start());
        budget.deposit(now);
        assert!(!budget.withdraw(now));
        assert_eq!(BudgetConfig::new(1_001, 0), Err(InvalidBudget::Percent(1_001)));
    }

    proptest! {
        #[test]
        fn retries_never_exceed_their_share_of_the_last_seconds(
            percent in 0_u16..200,
            floor in 0_u16..3,
            steps in prop::collection::vec((0_u64..700, 0_u32..8, 0_u32..8), 0..200),
        ) {
            let (mut budget, mut now) = (budget(percent, floor), start());
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for (gap, deposits, tries) in steps {
                now += Duration::from_millis(gap);
                for _ in 0..deposits {
                    budget.deposit(now);
                    requests.push(now);
                }
                let withdrawn = withdrawn(&mut budget, tries, now);
                if withdrawn == 0 {
                    continue;
                }
                retries.extend((0..withdrawn).map(|_| now));
                // Slices end on the second: of what is 9 to 10 s old some is gone already.
                let recent = |times: &[Instant], secs| {
                    times.iter().filter(|at| now - **at < Duration::from_secs(secs)).count() as u64
                };
                let share = recent(&requests, 10) * u64::from(percent) / 100;
                prop_assert!(recent(&retries, 9) <= share + 10 * u64::from(floor));
            }
        }
    }
}
