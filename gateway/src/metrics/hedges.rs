//! What became of late answers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kamaitachi_layers::hedge::Event;

/// What became of the late answers of one route, on all workers: they are few, so all write to one place.
#[derive(Debug, Default)]
pub struct Hedges {
    counts: [AtomicU64; Outcome::ALL.len()],
}

/// One of the things that can become of a late answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Another node was asked.
    Sent,
    /// It answered first.
    Won,
    /// There was no budget to ask it.
    Unaffordable,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Sent, Self::Won, Self::Unaffordable];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Won => "won",
            Self::Unaffordable => "unaffordable",
        }
    }
}

impl Hedges {
    /// Counts an event.
    pub fn count(&self, event: Event<'_>) {
        let outcome = match event {
            Event::Sent { .. } => Outcome::Sent,
            Event::Won => Outcome::Won,
            Event::Unaffordable => Outcome::Unaffordable,
            // Counted with the node that it takes out.
            Event::Lost { .. } => return,
        };
        self.counts[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn get(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Relaxed)
    }
}
