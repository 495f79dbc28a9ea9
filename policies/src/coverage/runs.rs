//! Where the intervals of a set live: in place up to one, on the heap from two on.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::slice;

use super::Interval;

#[derive(Clone, Default)]
pub(super) enum Runs {
    #[default]
    None,
    One(Interval),
    /// Two or more.
    Many(Vec<Interval>),
}

impl Runs {
    pub(super) fn as_slice(&self) -> &[Interval] {
        match self {
            Self::None => &[],
            Self::One(run) => slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(runs) => runs.capacity() * size_of::<Interval>(),
        }
    }

    /// Puts `new` in the place of the intervals at `range`.
    pub(super) fn splice(&mut self, range: Range<usize>, new: &[Interval]) {
        if let Self::Many(runs) = self {
            runs.splice(range, new.iter().copied());
            if runs.len() < 2 {
                *self = Self::from(std::mem::take(runs));
            }
        } else {
            let old = std::mem::take(self);
            let old = old.as_slice();
            let spliced = [&old[..range.start], new, &old[range.end..]];
            let mut all = spliced.into_iter().flatten().copied();
            *self = match (all.next(), all.next()) {
                (None, _) => Self::None,
                (Some(run), None) => Self::One(run),
                (Some(first), Some(second)) => {
                    Self::Many([first, second].into_iter().chain(all).collect())
                }
            };
        }
    }
}

impl From<Vec<Interval>> for Runs {
    fn from(runs: Vec<Interval>) -> Self {
        match *runs {
            [] => Self::None,
            [run] => Self::One(run),
            [_, _, ..] => Self::Many(runs),
        }
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Runs {}

impl Hash for Runs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
