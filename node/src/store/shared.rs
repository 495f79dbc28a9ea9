//! What the handle and the threads both see.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Mark, Totals, Touched, WriteObserver, health::Health};
use crate::model::{Indicators, Revision};

/// The published state of a store, as of the last commit.
#[derive(Default)]
pub(super) struct Shared {
    revision: AtomicU64,
    /// The last revision that every observer has heard of, so that nobody who looks from then on
    /// is told anything older.
    pub(super) confirmed: watch::Sender<Revision>,
    pub(super) indicators: ArcSwap<Indicators>,
    pub(super) totals: ArcSwap<Totals>,
    pub(super) mark: ArcSwap<Mark>,
    observers: Mutex<Vec<Arc<dyn WriteObserver>>>,
    pub(super) closed: AtomicBool,
    pub(super) health: Health,
    /// Reads that were begun.
    pub(super) reads: AtomicU64,
}

impl Shared {
    pub(super) fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    /// Makes a commit known.
    pub(super) fn publish(&self, mark: Mark, totals: Totals, indicators: Arc<Indicators>) {
        let revision = mark.revision;
        self.indicators.store(indicators);
        self.totals.store(Arc::new(totals));
        self.mark.store(Arc::new(mark));
        self.revision.store(revision, Ordering::Release);
    }

    /// Lets those go on who waited for this revision.
    pub(super) fn confirm(&self, revision: Revision) {
        self.confirmed.send_replace(revision);
    }

    pub(super) fn observe(&self, observer: Arc<dyn WriteObserver>) {
        self.observers.lock().push(observer);
    }

    pub(super) fn before_commit(&self, revision: Revision, touched: &Touched) {
        self.tell(|observer| observer.before_commit(revision, touched));
    }

    pub(super) fn after_commit(&self, revision: Revision, touched: &Touched) {
        self.tell(|observer| observer.after_commit(revision, touched));
    }

    pub(super) fn aborted(&self, revision: Revision, touched: &Touched) {
        self.tell(|observer| observer.aborted(revision, touched));
    }

    fn tell(&self, event: impl Fn(&dyn WriteObserver)) {
        let observers = self.observers.lock().clone();
        for observer in observers {
            if catch_unwind(AssertUnwindSafe(|| event(&*observer))).is_err() {
                tracing::error!("an observer of writes panicked");
            }
        }
    }
}
