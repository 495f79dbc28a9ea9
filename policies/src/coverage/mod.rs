//! Which stretches of time are known: sets of intervals, and what is missing from them.
//!
//! A [`Coverage`] is a set of whole numbers (epoch seconds) kept as the fewest inclusive intervals
//! that hold it. Ask it what is [missing](Coverage::missing) from a range, read that, and
//! [insert](Coverage::insert) it: neighbours grow together. Everything is right up to both
//! ends of `i64`.
//!
//! # Source
//!
//! Textbook interval sets (Cormen et al., *Introduction to Algorithms*, intervals sorted and
//! disjoint, found by binary search). Adjacent intervals merge because seconds are whole: 1–4 and
//! 5–9 are 1–9. [`join_gaps`] is our own cost rule.
//!
//! # Cost
//!
//! With n intervals: queries O(log n) to find the place and no allocation; changes O(n) at worst,
//! as the intervals behind the place move up. None or one interval, the common case, takes no heap.

mod algebra;
mod gaps;
mod interval;
mod runs;

#[cfg(test)]
mod tests;

pub use gaps::{Missing, join_gaps};
pub use interval::Interval;
use runs::Runs;

/// A set of `i64`, kept as sorted intervals that neither overlap nor touch.
///
/// ```
/// use kamaitachi_policies::coverage::{Coverage, Interval};
///
/// let mut known = Coverage::new();
/// known.insert(10, 19);
/// known.insert(40, 49);
/// let gaps: Vec<_> = known.missing(0, 45).collect();
/// assert_eq!(gaps, [Interval::new(0, 9).unwrap(), Interval::new(20, 39).unwrap()]);
/// known.insert(20, 39);
/// assert!(known.covers(10, 49) && known.len() == 1);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Coverage {
    runs: Runs,
}

impl Coverage {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: Runs::None }
    }

    /// All of `i64`.
    #[must_use]
    pub const fn everything() -> Self {
        Self { runs: Runs::One(Interval::EVERYTHING) }
    }

    /// The intervals, ascending, with at least one number missing between any two.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        self.runs.as_slice()
    }

    /// How many intervals there are: what the set costs, not what it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intervals().len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intervals().is_empty()
    }

    /// Bytes allocated beyond the value itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.runs.heap_bytes()
    }

    /// Whether `at` is in it.
    #[must_use]
    pub fn contains(&self, at: i64) -> bool {
        self.run_containing(at).is_some()
    }

    /// Whether all of `from..=to` is in it. An empty range (`from` > `to`) is.
    #[must_use]
    pub fn covers(&self, from: i64, to: i64) -> bool {
        from > to || self.run_containing(from).is_some_and(|run| run.to() >= to)
    }

    /// The whole interval around `at`: how far down, and up, knowledge is contiguous from there.
    #[must_use]
    pub fn run_containing(&self, at: i64) -> Option<Interval> {
        let intervals = self.intervals();
        let run = intervals.get(intervals.partition_point(|run| run.to() < at))?;
        run.contains(at).then_some(*run)
    }

    /// What of `from..=to` is not in it, ascending. Nothing when `from` > `to`.
    #[must_use]
    pub fn missing(&self, from: i64, to: i64) -> Missing<'_> {
        let intervals = self.intervals();
        let first = intervals.partition_point(|run| run.to() < from);
        Missing::new(&intervals[first..], Interval::new(from, to))
    }

    /// Adds `from..=to`, merging it with what it overlaps or touches. No effect if `from` > `to`.
    pub fn insert(&mut self, from: i64, to: i64) {
        let Some(new) = Interval::new(from, to) else { return };
        let intervals = self.intervals();
        let first = intervals.partition_point(|run| run.to().saturating_add(1) < from);
        let end = intervals.partition_point(|run| run.from() <= to.saturating_add(1));
        let merged = intervals[first..end].iter().fold(new, |merged, run| merged.hull(*run));
        self.runs.splice(first..end, &[merged]);
    }

    /// Takes `from..=to` out. No effect if `from` > `to`.
    pub fn remove(&mut self, from: i64, to: i64) {
        let Some(gone) = Interval::new(from, to) else { return };
        let intervals = self.intervals();
        let first = intervals.partition_point(|run| run.to() < from);
        let end = intervals.partition_point(|run| run.from() <= to);
        if first < end {
            let below = intervals[first].below(gone.from());
            let above = intervals[end - 1].above(gone.to());
            match (below, above) {
                (Some(below), Some(above)) => self.runs.splice(first..end, &[below, above]),
                (Some(kept), None) | (None, Some(kept)) => self.runs.splice(first..end, &[kept]),
                (None, None) => self.runs.splice(first..end, &[]),
            }
        }
    }
}

/// Writes the intervals as `{1..=4, 9..=9}`.
impl std::fmt::Debug for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.intervals()).finish()
    }
}
