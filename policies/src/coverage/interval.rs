//! One interval.

/// All whole numbers between two, both included. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    from: i64,
    to: i64,
}

impl Interval {
    /// All of `i64`.
    pub const EVERYTHING: Self = Self { from: i64::MIN, to: i64::MAX };

    /// `from..=to`, or `None` if that is empty.
    #[must_use]
    pub const fn new(from: i64, to: i64) -> Option<Self> {
        if from <= to { Some(Self { from, to }) } else { None }
    }

    /// The least number in it.
    #[must_use]
    pub const fn from(self) -> i64 {
        self.from
    }

    /// The greatest number in it.
    #[must_use]
    pub const fn to(self) -> i64 {
        self.to
    }

    /// Whether `at` is in it.
    #[must_use]
    pub const fn contains(self, at: i64) -> bool {
        self.from <= at && at <= self.to
    }

    /// What both hold.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }

    /// The least interval that holds both.
    pub(super) fn hull(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// The part of it below `at`.
    pub(super) fn below(self, at: i64) -> Option<Self> {
        Self::new(self.from, self.to.min(at.checked_sub(1)?))
    }

    /// The part of it above `at`.
    pub(super) fn above(self, at: i64) -> Option<Self> {
        Self::new(self.from.max(at.checked_add(1)?), self.to)
    }
}

impl std::fmt::Debug for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..={}", self.from, self.to)
    }
}
