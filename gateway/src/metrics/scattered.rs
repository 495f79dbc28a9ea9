//! What became of questions that were split by the nodes that own their subjects.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kamaitachi_layers::scatter::Event;

/// What became of the questions of one route that were split, on all workers.
#[derive(Debug, Default)]
pub struct Scattered {
    splits: [AtomicU64; Outcome::ALL.len()],
    parts: AtomicU64,
    elsewhere: AtomicU64,
}

/// How a question that was split was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By one answer out of those to its parts.
    Merged,
    /// By the answer to one part, which failed for good.
    Failed,
    /// As a whole, since parts would not do.
    Whole,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Merged, Self::Failed, Self::Whole];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Failed => "failed",
            Self::Whole => "whole",
        }
    }
}

impl Scattered {
    /// Counts an event.
    pub fn count(&self, event: Event) {
        let outcome = match event {
            Event::Split { parts } => {
                self.parts.fetch_add(parts as u64, Relaxed);
                return;
            }
            Event::Merged => Outcome::Merged,
            Event::Failed => Outcome::Failed,
            Event::Whole => Outcome::Whole,
        };
        self.splits[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts parts that another node than the owner of their subjects has answered.
    pub fn count_elsewhere(&self, parts: u64) {
        if parts > 0 {
            self.elsewhere.fetch_add(parts, Relaxed);
        }
    }

    pub(super) fn get(&self, outcome: Outcome) -> u64 {
        self.splits[outcome as usize].load(Relaxed)
    }

    pub(super) fn parts(&self) -> u64 {
        self.parts.load(Relaxed)
    }

    pub(super) fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Relaxed)
    }
}
