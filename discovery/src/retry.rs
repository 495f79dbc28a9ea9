//! How long to wait before the next try.

use std::time::Duration;

use kamaitachi_serve::BackOff;

/// Waits that double with each failure in a row and differ between those who wait, so that a hundred nodes that lost
/// one etcd don't come back at the same moment.
///
/// Each wait is somewhere in the upper half of its step ("equal jitter": [Exponential Backoff And
/// Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)), so it never gets so short that a
/// broken server is hammered.
#[derive(Clone, Debug)]
pub struct Retry {
    back_off: BackOff,
    step: Duration,
}

impl Retry {
    /// A first failure waits `back_off.first` at most.
    #[must_use]
    pub const fn new(back_off: BackOff) -> Self {
        Self { step: back_off.first, back_off }
    }

    /// The wait after a failure, where `random` is evenly spread over 0 to 1.
    #[must_use]
    pub fn wait(&mut self, random: f64) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.back_off.most);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// What was tried has worked for this long: after `back_off.forgive_after` the waits begin anew.
    pub fn worked_for(&mut self, time: Duration) {
        if time >= self.back_off.forgive_after {
            self.step = self.back_off.first;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry() -> Retry {
        Retry::new(BackOff {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            forgive_after: Duration::from_secs(10),
        })
    }

    #[test]
    fn waits_double_up_to_the_most_and_begin_anew_after_a_long_success() {
        let mut retry = retry();
        let waits: Vec<_> = (0..8).map(|_| retry.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        retry.worked_for(Duration::from_secs(9));
        assert_eq!(retry.wait(1.0), Duration::from_secs(5));
        retry.worked_for(Duration::from_secs(10));
        assert_eq!(retry.wait(0.0), Duration::from_millis(50));
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_than_half_its_step_or_longer_than_the_most(
            random in prop::collection::vec(0.0..=1.0, 1..40),
        ) {
            let mut retry = retry();
            for random in random {
                let step = retry.step;
                let wait = retry.wait(random);
                prop_assert!(step / 2 <= wait && wait <= step && wait <= Duration::from_secs(5));
            }
        }
    }
}
