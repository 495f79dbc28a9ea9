//! What a query asks of the store, and what it gets.

use crate::model::{Epoch, IndicatorId, RowInfo, Subject, SubjectInfo};

/// One thing a query does not know yet and asks of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Whose rows.
    pub subject: Subject,
    /// Which rows.
    pub rows: Rows,
    /// Which indicators of those rows; empty asks for the rows' own facts alone.
    pub indicators: Box<[IndicatorId]>,
}

/// Which rows of a subject a [`Need`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All with `from <= report_date <= to`.
    Between {
        /// First second of the range.
        from: Epoch,
        /// Last second of the range.
        to: Epoch,
    },
    /// The newest one with `not_before <= report_date <= at`.
    Newest {
        /// Nothing older is asked for: what lies below is known already.
        not_before: Epoch,
        /// Nothing newer is asked for.
        at: Epoch,
    },
}

/// The answer to one [`Need`], in ascending order of `report_date`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What the store knows of the subject; `None` where it knows no such subject.
    pub subject: Option<SubjectInfo>,
    /// The rows.
    pub rows: Vec<FoundRow>,
}

/// One row of a [`Found`].
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRow {
    /// Epoch seconds; unique within a subject.
    pub report_date: Epoch,
    /// What the row says of itself.
    pub info: RowInfo,
    /// One value for each indicator of the need, in its order; `None` is NULL.
    pub values: Box<[Option<f64>]>,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows of all subjects.
    pub records: u64,
    /// Subjects with at least one row.
    pub subjects: u64,
}

/// What has been written after some revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Subjects written since, in byte order.
    pub subjects: Vec<Subject>,
    /// Whether the members of any topic, or any tags, may have changed since.
    pub membership: bool,
}
