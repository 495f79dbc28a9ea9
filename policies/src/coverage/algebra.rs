//! Sets with sets.

use super::{Coverage, Interval, Runs};

impl Coverage {
    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (longer, shorter) =
            if self.len() < other.len() { (other, self) } else { (self, other) };
        // The usual case: something small is added to a set, or both are one interval.
        if shorter.len() <= 1 {
            let mut union = longer.clone();
            union.extend(shorter.intervals().iter().copied());
            return union;
        }
        let mut sorted = [longer.intervals(), shorter.intervals()].concat();
        sorted.sort_unstable();
        let mut runs: Vec<Interval> = Vec::with_capacity(sorted.len());
        for run in sorted {
            match runs.last_mut() {
                Some(last) if run.from() <= last.to().saturating_add(1) => *last = last.hull(run),
                _ => runs.push(run),
            }
        }
        Self::from_sorted(runs)
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.intervals(), other.intervals());
        let mut runs = Vec::new();
        while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
            runs.extend(a.intersection(*b));
            if a.to() < b.to() {
                left = left_rest;
            } else {
                right = right_rest;
            }
        }
        Self::from_sorted(runs)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let gaps = |run: &Interval| other.missing(run.from(), run.to());
        Self::from_sorted(self.intervals().iter().flat_map(gaps).collect())
    }

    /// `runs` ascend and neither overlap nor touch.
    fn from_sorted(mut runs: Vec<Interval>) -> Self {
        runs.shrink_to_fit();
        Self { runs: Runs::from(runs) }
    }
}

impl Extend<Interval> for Coverage {
    fn extend<I: IntoIterator<Item = Interval>>(&mut self, intervals: I) {
        for interval in intervals {
            self.insert(interval.from(), interval.to());
        }
    }
}

impl FromIterator<Interval> for Coverage {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut set = Self::new();
        set.extend(intervals);
        set
    }
}
