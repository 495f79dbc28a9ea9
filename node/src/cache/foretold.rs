//! Writes that others have told of before this node's store has them.
//!
//! Until the store has applied such a write, what is read of its subject is the old, which is right
//! here and not worth remembering. Word of a write may be lost, late, repeated, out of turn or
//! wrong: it only ever keeps things from being remembered, for a bounded time, so the worst it does
//! is a read. What is true at this node is decided by its store alone.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::model::{Revision, Subject};

/// Subjects that are marked at a time. Of more, what is known is dropped and no mark is kept.
pub(crate) const MOST: usize = 10_000;
/// How long a mark stands that no commit makes good.
pub(crate) const LIFE: Duration = Duration::from_secs(10);

/// What became of the word of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was news; whether anything older was remembered, which is forgotten now.
    News {
        /// Whether something was.
        dropped: bool,
    },
    /// The store has the write, or a later one of the subject was told of.
    Old,
}

/// The marks, and how far the store is.
#[derive(Debug)]
pub(crate) struct Foretold {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    applied: Revision,
    by_subject: HashMap<Subject, Revision>,
    /// The same by revision, with the end of each.
    by_revision: BTreeMap<(Revision, Subject), Instant>,
}

impl Foretold {
    /// Of a store that is at `applied`.
    pub(crate) fn new(applied: Revision) -> Self {
        let (by_subject, by_revision) = (HashMap::new(), BTreeMap::new());
        Self { state: Mutex::new(State { applied, by_subject, by_revision }) }
    }

    /// Takes in that `subject` was written at `revision`. If that is news, `forget` drops what is
    /// older, and is told whether the mark stands from now on.
    pub(crate) fn tell(
        &self,
        subject: &Subject,
        revision: Revision,
        now: Instant,
        forget: impl FnOnce(bool) -> bool,
    ) -> Heard {
        let mut state = self.state.lock();
        let known = state.by_subject.get(subject).copied();
        if revision <= state.applied || known.is_some_and(|known| revision <= known) {
            return Heard::Old;
        }
        let stands = known.is_some() || state.by_subject.len() < MOST;
        if stands {
            if let Some(known) = known {
                state.by_revision.remove(&(known, subject.clone()));
            }
            state.by_subject.insert(subject.clone(), revision);
            state.by_revision.insert((revision, subject.clone()), now + LIFE);
        }
        Heard::News { dropped: forget(stands) }
    }

    /// The store is at `revision` now; `end` is called for each mark that this makes good.
    pub(crate) fn applied(&self, revision: Revision, mut end: impl FnMut(&Subject, Revision)) {
        let mut state = self.state.lock();
        state.applied = state.applied.max(revision);
        while let Some(first) = state.by_revision.first_entry() {
            if first.key().0 > revision {
                return;
            }
            let ((revision, subject), _) = first.remove_entry();
            state.by_subject.remove(&subject);
            end(&subject, revision);
        }
    }

    /// Ends the marks that have stood for long enough.
    pub(crate) fn purge(&self, now: Instant, mut end: impl FnMut(&Subject, Revision)) {
        let State { by_subject, by_revision, .. } = &mut *self.state.lock();
        by_revision.retain(|(revision, subject), until| {
            let stays = *until > now;
            if !stays {
                by_subject.remove(subject);
                end(subject, *revision);
            }
            stays
        });
    }

    /// How many marks stand.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().by_subject.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(marks: &Foretold, subject: &str, revision: Revision) -> Heard {
        let now = tokio::time::Instant::now().into_std();
        marks.tell(&subject.into(), revision, now, |_| false)
    }

    #[test]
    fn of_each_subject_the_latest_word_stands_until_the_store_has_it() {
        let marks = Foretold::new(5);
        let news = Heard::News { dropped: false };
        assert_eq!(tell(&marks, "a", 5), Heard::Old, "the store has it");
        assert_eq!(tell(&marks, "a", 8), news);
        assert_eq!(tell(&marks, "a", 7), Heard::Old, "out of turn");
        assert_eq!(tell(&marks, "a", 8), Heard::Old, "again");
        assert_eq!(tell(&marks, "a", 9), news);
        assert_eq!(tell(&marks, "b", 6), news);
        let mut ended = Vec::new();
        marks.applied(8, |subject, revision| ended.push((subject.to_string(), revision)));
        assert_eq!((ended, marks.len()), (vec![("b".to_owned(), 6)], 1));
        assert_eq!(tell(&marks, "b", 8), Heard::Old);
        marks.applied(9, |_, _| {});
        assert_eq!(marks.len(), 0);
    }

    #[test]
    fn marks_are_bounded_in_number_and_in_time() {
        let now = tokio::time::Instant::now().into_std();
        let marks = Foretold::new(0);
        let mut standing = 0;
        for n in 0..MOST + 10 {
            marks.tell(&format!("{n}").as_str().into(), 7, now, |stands| {
                standing += usize::from(stands);
                true
            });
        }
        assert_eq!((standing, marks.len()), (MOST, MOST));
        // One that is marked already finds its place again.
        assert_eq!(tell(&marks, "3", 8), Heard::News { dropped: false });
        marks.purge(now + LIFE / 2, |_, _| {});
        assert_eq!(marks.len(), MOST);
        let mut ended = 0;
        marks.purge(now + 2 * LIFE, |_, _| ended += 1);
        assert_eq!((ended, marks.len()), (MOST, 0));
        assert!(marks.state.lock().by_revision.is_empty());
    }
}
