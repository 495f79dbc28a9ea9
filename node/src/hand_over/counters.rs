//! How hand-overs have gone.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::HandOver;
use crate::api::metrics::counters;

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    given: AtomicU64,
    taken: AtomicU64,
    left_out: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    /// A parcel of so many subjects has gone to a peer.
    pub(crate) fn gave(&self, entries: usize) {
        self.given.fetch_add(entries as u64, Relaxed);
    }

    /// A parcel from a peer was taken in.
    pub(crate) fn took(&self, taken: crate::query::Taken) {
        self.taken.fetch_add(taken.entries as u64, Relaxed);
        self.left_out.fetch_add(taken.left_out as u64, Relaxed);
    }

    /// Subjects taken over so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// A peer did not answer, or sent what could not be used.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}

impl Collector for HandOver {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Counters { given, taken, left_out, failed } = &self.counters;
        let to = &mut encoder;
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        counters(
            to,
            ("kamaitachi_hand_over_subjects", "Subjects handed over, by what became of them."),
            "outcome",
            [("given", load(given)), ("taken", load(taken)), ("left_out", load(left_out))],
        )?;
        counters(
            to,
            (
                "kamaitachi_hand_over_failures",
                "Peers that did not answer, or not with what can be used.",
            ),
            "cause",
            [("peer", load(failed))],
        )
    }
}
