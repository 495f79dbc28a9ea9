//! How caches hear of writes.

use crate::model::{Revision, Subject};

/// Told by the writer thread, in order, what a write is about to change and what became of it.
///
/// This is how caches stay true: between [`before_commit`](Self::before_commit) and
/// [`after_commit`](Self::after_commit) a reader may see the old or the new rows, so whatever is
/// known of the touched subjects is forgotten first, and nothing read at an older revision may be
/// remembered after.
///
/// Writes that wait together are committed together, so several revisions may be announced before
/// the first of them is confirmed: `before 7, before 8, after 7, after 8`. Each announced revision
/// is either confirmed or aborted, once, in the order announced. A read between may already carry
/// the last of them, before its `after_commit` was heard.
///
/// The methods run on the writer thread and hold up every write while they run; a panic in one is
/// logged and changes nothing else. An observer that keeps a [`Store`](super::Store) must keep it
/// in a `Weak`, or the store outlives its last user.
pub trait WriteObserver: Send + Sync + 'static {
    /// `touched` will change at `revision`, if the commit succeeds. Runs before the commit.
    fn before_commit(&self, revision: Revision, touched: &Touched);
    /// `revision` is on disk and visible to every reader that starts now.
    fn after_commit(&self, revision: Revision, touched: &Touched);
    /// The commit failed: `revision` does not exist, nothing has changed. The number will be
    /// given to the next write.
    fn aborted(&self, revision: Revision, touched: &Touched);
}

/// What one write changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Subjects whose rows or own facts change; each once.
    pub subjects: Vec<Subject>,
    /// Whether the members of any topic, or any tags, change.
    pub membership: bool,
}
