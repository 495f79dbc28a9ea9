//! What is not known, and when to read across what is.

use std::iter::FusedIterator;
use std::slice::Iter;

use super::Interval;

/// The gaps in a range, ascending. Made by [`Coverage::missing`](super::Coverage::missing).
#[derive(Clone, Debug)]
pub struct Missing<'a> {
    known: Iter<'a, Interval>,
    /// The part of the range not walked yet.
    rest: Option<Interval>,
}

impl<'a> Missing<'a> {
    pub(super) fn new(known: &'a [Interval], range: Option<Interval>) -> Self {
        Self { known: known.iter(), rest: range }
    }
}

impl Iterator for Missing<'_> {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        loop {
            let rest = self.rest?;
            let known = self.known.next().and_then(|run| run.intersection(rest));
            let Some(known) = known else {
                self.rest = None;
                return Some(rest);
            };
            self.rest = rest.above(known.to());
            if let Some(gap) = rest.below(known.from()) {
                return Some(gap);
            }
        }
    }
}

impl FusedIterator for Missing<'_> {}

/// Joins neighbouring gaps between which at most `max_slack` numbers are known.
///
/// The cost rule: a read costs something for its being a read, and something for each number it
/// spans. Where what lies between two gaps is cheaper to read again than to read around, one read
/// is better than two. `max_slack` is that exchange rate: the cost of a further read, in numbers
/// spanned. 0 keeps the gaps as they are (two gaps always have something between them), `u64::MAX`
/// makes one read of all. `gaps` must ascend and not overlap, as [`Missing`] yields them; the
/// result holds all of them, is as long at most, and begins and ends where they do.
#[must_use]
pub fn join_gaps(gaps: impl IntoIterator<Item = Interval>, max_slack: u64) -> Vec<Interval> {
    let mut joined: Vec<Interval> = Vec::new();
    for gap in gaps {
        match joined.last_mut() {
            Some(last) if gap.from().abs_diff(last.to()).saturating_sub(1) <= max_slack => {
                *last = last.hull(gap);
            }
            _ => joined.push(gap),
        }
    }
    joined
}
