//! Counters that workers do not fight over.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// More workers than this share lines, which costs time and nothing else.
const STRIPES: usize = 16;

/// How requests fared, counted on a line of memory of the counting thread's own.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[Stripe]>,
    rejected_stale: AtomicU64,
}

/// Aligned so that no two share what a processor fetches at once.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
    partial_hits: AtomicU64,
    subject_hits: AtomicU64,
    subject_misses: AtomicU64,
}

/// The sums at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) partial_hits: u64,
    pub(crate) subject_hits: u64,
    pub(crate) subject_misses: u64,
    pub(crate) rejected_stale: u64,
}

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The stripe of this thread, given out in turn.
fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let stripe = NEXT.fetch_add(1, Relaxed) % STRIPES;
            own.set(Some(stripe));
            stripe
        })
    })
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            rejected_stale: AtomicU64::new(0),
        }
    }

    /// Counts a request for which no storage was read.
    pub(crate) fn hit(&self, subjects: usize) {
        let stripe = &self.stripes[own()];
        stripe.hits.fetch_add(1, Relaxed);
        stripe.subject_hits.fetch_add(subjects as u64, Relaxed);
    }

    /// Counts a request for which storage was read; `partial` if some of it was known.
    pub(crate) fn miss(&self, partial: bool, subject_hits: usize, subject_misses: usize) {
        let stripe = &self.stripes[own()];
        stripe.misses.fetch_add(1, Relaxed);
        stripe.partial_hits.fetch_add(u64::from(partial), Relaxed);
        stripe.subject_hits.fetch_add(subject_hits as u64, Relaxed);
        stripe.subject_misses.fetch_add(subject_misses as u64, Relaxed);
    }

    /// Counts something that was read and not kept, because it had been overtaken by a write.
    pub(crate) fn rejected_stale(&self) {
        self.rejected_stale.fetch_add(1, Relaxed);
    }

    pub(crate) fn sum(&self) -> Counts {
        let mut sum =
            Counts { rejected_stale: self.rejected_stale.load(Relaxed), ..Counts::default() };
        for stripe in &self.stripes {
            sum.hits += stripe.hits.load(Relaxed);
            sum.misses += stripe.misses.load(Relaxed);
            sum.partial_hits += stripe.partial_hits.load(Relaxed);
            sum.subject_hits += stripe.subject_hits.load(Relaxed);
            sum.subject_misses += stripe.subject_misses.load(Relaxed);
        }
        sum
    }

    /// Zeroes all. What is counted at the same moment counts before or after.
    pub(crate) fn reset(&self) {
        self.rejected_stale.store(0, Relaxed);
        for stripe in &self.stripes {
            stripe.hits.store(0, Relaxed);
            stripe.misses.store(0, Relaxed);
            stripe.partial_hits.store(0, Relaxed);
            stripe.subject_hits.store(0, Relaxed);
            stripe.subject_misses.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_all_threads_counted() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counters.hit(2);
                        counters.miss(true, 1, 3);
                    }
                });
            }
        });
        let sum = counters.sum();
        assert_eq!((sum.hits, sum.misses, sum.partial_hits), (4000, 4000, 4000));
        assert_eq!((sum.subject_hits, sum.subject_misses), (12_000, 12_000));
        counters.reset();
        assert_eq!(counters.sum(), Counts::default());
    }
}
