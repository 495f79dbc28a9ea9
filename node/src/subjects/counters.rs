//! What became of the deletes of the group.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{group::Part, outbox::Outbox};
use crate::{
    api::metrics::{counters, gauge},
    cache::Heard,
};

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Told to the group.
    pub(super) told: AtomicU64,
    /// Something was remembered, and is forgotten.
    dropped: AtomicU64,
    /// Nothing was; it will not be remembered until the store has the write.
    marked: AtomicU64,
    /// The store has the write.
    old: AtomicU64,
    /// Of a history that the store here does not tell.
    pub(super) stranger: AtomicU64,
}

impl Counters {
    pub(super) fn heard(&self, heard: Heard) {
        let counter = match heard {
            Heard::News { dropped: true } => &self.dropped,
            Heard::News { dropped: false } => &self.marked,
            Heard::Old => &self.old,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Tells them to Prometheus.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) part: Arc<Part>,
    pub(super) outbox: Arc<Outbox>,
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Counters { told, dropped, marked, old, stranger } = &self.part.counters;
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let to = &mut encoder;
        counters(
            to,
            (
                "kamaitachi_subjects_deletes_sent",
                "Subjects written here, by whether the group was told or replication alone.",
            ),
            "way",
            [("group", load(told)), ("replication", self.outbox.left())],
        )?;
        counters(
            to,
            (
                "kamaitachi_subjects_deletes_heard",
                "Deletes through the group, by what became of them: something was dropped, \
                 nothing was known, the write is here already, it is of another history.",
            ),
            "outcome",
            [
                ("dropped", load(dropped)),
                ("marked", load(marked)),
                ("old", load(old)),
                ("other_history", load(stranger)),
            ],
        )?;
        let foretold = self.part.foretold() as u64;
        let help = "Subjects whose last write was told of and is not here yet.";
        gauge(to, "kamaitachi_subjects_foretold", help, foretold)
    }
}
