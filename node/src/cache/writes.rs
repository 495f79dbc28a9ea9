//! Which writes are under way, and what they touched: how a reader of several things learns
//! whether they belong together.
//!
//! A query takes a [`Mark`] before it looks at anything. If no write was under way then and none
//! has begun since, all it saw is of one revision: two loads tell. Otherwise it asks which of its
//! subjects were touched; the stamps answer by hash, so a stranger may be taken for touched, never
//! a touched one for a stranger.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{model::Revision, store::Touched};

/// 32 KiB: among so many, a write of a few subjects rarely disturbs a query of a few others.
const STAMPS: usize = 4096;

#[derive(Debug)]
pub(crate) struct Writes {
    /// Writes begun, which is the number of the newest.
    begun: AtomicU64,
    /// All writes up to this number have ended.
    done: AtomicU64,
    /// The newest revision that anyone here may have seen.
    visible: AtomicU64,
    /// The newest write that touched a subject of this hash.
    stamps: Box<[AtomicU64]>,
    /// The newest write that touched memberships.
    members: AtomicU64,
    open: Mutex<SmallVec<[(Revision, u64); 8]>>,
    hasher: RandomState,
}

/// The state of things when a query began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    done: u64,
    /// What the query must be as new as.
    pub(crate) visible: Revision,
}

impl Writes {
    pub(crate) fn new(visible: Revision) -> Self {
        Self {
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            visible: AtomicU64::new(visible),
            stamps: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            members: AtomicU64::new(0),
            open: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { done: self.done.load(SeqCst), visible: self.visible.load(SeqCst) }
    }

    /// Notes that someone has seen `revision`.
    pub(crate) fn seen(&self, revision: Revision) {
        self.visible.fetch_max(revision, SeqCst);
    }

    /// Whether no write at all has been under way since `mark`.
    pub(crate) fn calm_since(&self, mark: Mark) -> bool {
        self.begun.load(SeqCst) == mark.done
    }

    /// Whether a write that was under way at `mark`, or began since, touched the subject.
    pub(crate) fn touched_since(&self, mark: Mark, subject: &str) -> bool {
        self.stamp(subject).load(SeqCst) > mark.done
    }

    /// Whether such a write touched memberships.
    pub(crate) fn members_touched_since(&self, mark: Mark) -> bool {
        self.members.load(SeqCst) > mark.done
    }

    /// A write begins; call this before anything it touches is forgotten.
    pub(crate) fn begin(&self, revision: Revision, touched: &Touched) {
        let mut open = self.open.lock();
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        open.push((revision, number));
        for subject in &touched.subjects {
            self.stamp(subject).fetch_max(number, SeqCst);
        }
        if touched.membership {
            self.members.fetch_max(number, SeqCst);
        }
    }

    /// A write has ended, one way or the other.
    pub(crate) fn end(&self, revision: Revision) {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(other, _)| *other == revision) {
            open.remove(at);
        }
        let oldest = open.iter().map(|(_, number)| *number).min();
        let done = oldest.map_or_else(|| self.begun.load(SeqCst), |oldest| oldest - 1);
        self.done.store(done, SeqCst);
    }

    fn stamp(&self, subject: &str) -> &AtomicU64 {
        let hash = self.hasher.hash_one(subject) % STAMPS as u64;
        &self.stamps[usize::try_from(hash).expect("below the number of stamps")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touching(subjects: &[&str]) -> Touched {
        Touched { subjects: subjects.iter().map(|s| (*s).into()).collect(), membership: false }
    }

    #[test]
    fn a_write_disturbs_from_its_beginning_to_its_end() {
        let writes = Writes::new(4);
        let before = writes.mark();
        assert!(writes.calm_since(before));
        writes.begin(5, &touching(&["a"]));
        let during = writes.mark();
        for mark in [before, during] {
            assert!(!writes.calm_since(mark) && writes.touched_since(mark, "a"));
        }
        writes.end(5);
        let after = writes.mark();
        assert!(writes.calm_since(after) && !writes.touched_since(after, "a"));
        assert!(writes.touched_since(during, "a") && !writes.members_touched_since(during));
    }

    #[test]
    fn writes_that_commit_together_are_open_until_the_last_has_ended() {
        let writes = Writes::new(0);
        writes.begin(1, &touching(&["a"]));
        writes.begin(2, &Touched { subjects: vec![], membership: true });
        writes.end(2);
        // The first is still under way, whatever became of the second.
        let mark = writes.mark();
        assert!(writes.touched_since(mark, "a") && !writes.calm_since(mark));
        writes.end(1);
        let mark = writes.mark();
        assert!(writes.calm_since(mark) && !writes.members_touched_since(mark));
    }

    #[test]
    fn a_revision_that_came_to_nothing_may_be_used_again() {
        let writes = Writes::new(0);
        writes.begin(1, &touching(&["a"]));
        writes.end(1);
        let mark = writes.mark();
        writes.begin(1, &touching(&["a"]));
        assert!(!writes.calm_since(mark) && writes.touched_since(mark, "a"));
    }
}
