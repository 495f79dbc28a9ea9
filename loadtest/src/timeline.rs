//! Counts over time in bounded memory: slots that get twice as wide when they become too many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Slots at the most; at a tenth of a second each, enough for seven minutes.
const MOST: usize = 4096;

/// Answers by when they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Width of a slot, milliseconds.
    pub slot_ms: u64,
    /// Answers in each slot from the start of the run: `[all, failed]`.
    pub slots: Vec<[u64; 2]>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { slot_ms: 100, slots: Vec::new() }
    }
}

impl Timeline {
    /// Counts an answer that came `at` after the start.
    pub fn add(&mut self, at: Duration, failed: bool) {
        let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        while ms / self.slot_ms >= MOST as u64 {
            self.widen();
        }
        let slot = usize::try_from(ms / self.slot_ms).unwrap_or(MOST - 1);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, [0, 0]);
        }
        self.slots[slot][0] += 1;
        self.slots[slot][1] += u64::from(failed);
    }

    /// Adds the counts of another timeline of the same run.
    pub fn merge(&mut self, mut other: Self) {
        while self.slot_ms < other.slot_ms {
            self.widen();
        }
        while other.slot_ms < self.slot_ms {
            other.widen();
        }
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), [0, 0]);
        }
        for (sum, more) in self.slots.iter_mut().zip(&other.slots) {
            sum[0] += more[0];
            sum[1] += more[1];
        }
    }

    /// Points of a plot: seconds since the start, and answers a second; `which` is 0 for all, 1
    /// for failed. The last slot of a run is rarely a whole one: it is left out where there are
    /// others.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a plot")]
    pub fn points(&self, which: usize) -> Vec<(f64, f64)> {
        let seconds = self.slot_ms as f64 / 1000.0;
        let whole = self.slots.len().saturating_sub(1).max(1).min(self.slots.len());
        let slots = self.slots[..whole].iter().enumerate();
        slots.map(|(n, counts)| (n as f64 * seconds, counts[which] as f64 / seconds)).collect()
    }

    fn widen(&mut self) {
        self.slot_ms = self.slot_ms.saturating_mul(2);
        let pairs = self.slots.chunks(2);
        let sum = |pair: &[[u64; 2]]| pair.iter().fold([0, 0], |s, n| [s[0] + n[0], s[1] + n[1]]);
        self.slots = pairs.map(sum).collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved_whatever_the_length_and_the_order(
            answers in prop::collection::vec((0u64..10_000_000, any::<bool>(), any::<bool>()), 1..80),
        ) {
            let (mut a, mut b, mut whole) =
                (Timeline::default(), Timeline::default(), Timeline::default());
            for (ms, failed, first) in &answers {
                let at = Duration::from_millis(*ms);
                if *first { a.add(at, *failed) } else { b.add(at, *failed) }
                whole.add(at, *failed);
            }
            a.merge(b);
            prop_assert_eq!(&a, &whole);
            prop_assert!(whole.slots.len() <= MOST);
            let last = answers.iter().map(|(ms, ..)| ms / whole.slot_ms).max();
            prop_assert_eq!(last, Some(whole.slots.len() as u64 - 1));
            let all: u64 = whole.slots.iter().map(|slot| slot[0]).sum();
            prop_assert_eq!(all, answers.len() as u64);
        }
    }

    #[test]
    fn points_are_rates_of_whole_slots() {
        let mut line = Timeline::default();
        for ms in [0, 50, 99, 100, 250] {
            line.add(Duration::from_millis(ms), ms == 100);
        }
        assert_eq!(line.points(0), [(0.0, 30.0), (0.1, 10.0)]);
        assert_eq!(line.points(1), [(0.0, 0.0), (0.1, 10.0)]);
    }
}
