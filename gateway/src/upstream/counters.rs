//! What happened to a worker's connections, as plain numbers for whoever exports metrics.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was unused for too long.
    IdleTimeout,
    /// There were enough unused ones.
    IdleLimit,
    /// The upstream closed it, or spoke unasked, while it was unused.
    ByUpstream,
    /// The upstream said that this answer was the last, or ended it by closing.
    LastAnswer,
    /// More came than the answer.
    Surplus,
    /// An error or time-out.
    Error,
    /// The client left before the end of the answer, or the answer came before the end of the request.
    Abandoned,
}

impl Closed {
    /// All reasons, in the order of [`Totals::closed`].
    pub const ALL: [Self; 7] = [
        Self::IdleTimeout,
        Self::IdleLimit,
        Self::ByUpstream,
        Self::LastAnswer,
        Self::Surplus,
        Self::Error,
        Self::Abandoned,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::IdleLimit => "idle_limit",
            Self::ByUpstream => "by_upstream",
            Self::LastAnswer => "last_answer",
            Self::Surplus => "surplus",
            Self::Error => "error",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The counters of one worker for one address. Only that worker writes, anyone may read.
#[derive(Debug, Default)]
pub(super) struct Counters {
    opened: Single,
    reused: Single,
    replaced: Single,
    tries: Single,
    in_flight: Single,
    closed: [Single; Closed::ALL.len()],
}

/// A number with one writer: adding needs no locked instruction.
#[derive(Debug, Default)]
struct Single(AtomicU64);

impl Single {
    fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    pub(super) fn opened(&self) {
        self.opened.add(1);
    }

    pub(super) fn reused(&self) {
        self.reused.add(1);
    }

    pub(super) fn replaced(&self) {
        self.replaced.add(1);
    }

    pub(super) fn closed(&self, why: Closed) {
        self.closed[why as usize].add(1);
    }

    pub(super) fn begun(&self) {
        self.tries.add(1);
        self.in_flight.add(1);
    }

    pub(super) fn ended(&self) {
        self.in_flight.add(u64::MAX);
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.opened += self.opened.get();
        totals.reused += self.reused.get();
        totals.replaced += self.replaced.get();
        totals.tries += self.tries.get();
        totals.in_flight += self.in_flight.get();
        for (total, one) in totals.closed.iter_mut().zip(&self.closed) {
            *total += one.get();
        }
    }
}

/// The connections of all workers to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections opened.
    pub opened: u64,
    /// Requests sent on a connection that was kept from an earlier one.
    pub reused: u64,
    /// Requests sent again on a fresh connection, since the kept one turned out dead.
    pub replaced: u64,
    /// Requests, whether or not they got so far as to be sent.
    pub tries: u64,
    /// Requests under way, until the last byte of their answer.
    pub in_flight: u64,
    /// Connections closed, by the reasons of [`Closed::ALL`].
    pub closed: [u64; Closed::ALL.len()],
}

impl Totals {
    /// Connections closed for one reason.
    #[must_use]
    pub fn closed_for(&self, why: Closed) -> u64 {
        self.closed[why as usize]
    }
}
