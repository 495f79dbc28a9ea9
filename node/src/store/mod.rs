//! The database of a node: one SQLite file, one writer thread, a few reader threads.
//!
//! Async code never touches SQLite: it sends a job to a thread and awaits the answer.

use crate::model::{Epoch, IndicatorId, Revision, RowInfo, Subject, SubjectInfo};

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

/// Told by the writer thread, in order, what a write is about to change and what became of it.
///
/// This is how caches stay true: between [`before_commit`](Self::before_commit) and
/// [`after_commit`](Self::after_commit) a reader may see the old or the new rows, so whatever is
/// known of the touched subjects is forgotten first, and nothing read at an older revision may be
/// remembered after.
pub trait WriteObserver: Send + Sync + 'static {
    /// `touched` will change at `revision`, if the commit succeeds. Runs before the commit.
    fn before_commit(&self, revision: Revision, touched: &Touched);
    /// `revision` is on disk and visible to every reader that starts now.
    fn after_commit(&self, revision: Revision, touched: &Touched);
    /// The commit failed: `revision` does not exist, nothing has changed.
    fn aborted(&self, revision: Revision, touched: &Touched);
}

/// What one write changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Subjects whose rows or own facts change.
    pub subjects: Vec<Subject>,
    /// Whether the members of any topic, or any tags, change.
    pub membership: bool,
}
