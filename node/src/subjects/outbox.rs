//! Writes on their way to the group: noted by the writer, told by a task of their own.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::yield_now};

use super::group::Part;
use crate::{
    model::{Revision, Subject},
    store::{Touched, WriteObserver},
};

/// Subjects that wait to be told. A write for which there is no room is left to replication.
const MOST: usize = 8_192;
/// Subjects told before others on the same thread get a turn.
const TURN: usize = 256;

/// What was written and is not told yet: of each subject the last revision.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<HashMap<Subject, Revision>>,
    wake: Notify,
    left: AtomicU64,
}

impl Outbox {
    /// Subjects that were left to replication, there being no room.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    /// Waits for writes, and takes them out. Cancel safe.
    async fn next(&self) -> HashMap<Subject, Revision> {
        loop {
            let taken = mem::take(&mut *self.waiting.lock());
            if !taken.is_empty() {
                return taken;
            }
            self.wake.notified().await;
        }
    }
}

impl WriteObserver for Outbox {
    fn before_commit(&self, _: Revision, _: &Touched) {}

    /// The writer waits for this: nothing but a note is made.
    fn after_commit(&self, revision: Revision, touched: &Touched) {
        let mut waiting = self.waiting.lock();
        if waiting.len() + touched.subjects.len() > MOST {
            drop(waiting);
            self.left.fetch_add(touched.subjects.len() as u64, Relaxed);
            return;
        }
        waiting.extend(touched.subjects.iter().map(|subject| (subject.clone(), revision)));
        drop(waiting);
        self.wake.notify_one();
    }

    fn aborted(&self, _: Revision, _: &Touched) {}
}

/// Tells the group of what is written, for as long as it is polled.
pub(super) async fn send(outbox: Arc<Outbox>, part: Arc<Part>) {
    loop {
        for (at, (subject, revision)) in outbox.next().await.into_iter().enumerate() {
            part.tell_written(&subject, revision).await;
            if at % TURN == TURN - 1 {
                yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn touching(subjects: impl IntoIterator<Item = usize>) -> Touched {
        let subjects = subjects.into_iter().map(|n| format!("{n}").as_str().into()).collect();
        Touched { subjects, membership: false }
    }

    #[test]
    fn of_each_subject_the_last_write_is_told() {
        let outbox = Outbox::default();
        outbox.after_commit(1, &touching([1, 2]));
        outbox.after_commit(2, &touching([2]));
        let told = outbox.next().now_or_never().unwrap();
        assert_eq!((told.len(), told["1"], told["2"]), (2, 1, 2));
        assert!(outbox.next().now_or_never().is_none());
        outbox.after_commit(3, &touching([7]));
        assert_eq!(outbox.next().now_or_never().unwrap().len(), 1);
    }

    #[test]
    fn a_write_that_has_no_room_is_left_whole() {
        let outbox = Outbox::default();
        outbox.after_commit(1, &touching(0..MOST + 1));
        assert_eq!((outbox.waiting.lock().len(), outbox.left()), (0, MOST as u64 + 1));
        outbox.after_commit(2, &touching(0..MOST));
        outbox.after_commit(3, &touching([0]));
        assert_eq!((outbox.waiting.lock().len(), outbox.left()), (MOST, MOST as u64 + 2));
    }
}
