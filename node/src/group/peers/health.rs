//! Whether a peer is worth asking: failures in a row take it out, an answered ping brings it back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

/// What is thought of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It has not been called yet.
    New,
    /// Its last call went well, or not so many since have failed.
    Alive,
    /// It is left alone, pings aside.
    Ejected,
}

const NEW: u8 = 0;
const ALIVE: u8 = 1;
const EJECTED: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Health {
    state: AtomicU8,
    failures: AtomicU32,
    rtt_micros: AtomicU64,
    last_error: Mutex<Option<Arc<str>>>,
}

impl Health {
    pub(super) fn state(&self) -> PeerState {
        match self.state.load(Relaxed) {
            NEW => PeerState::New,
            ALIVE => PeerState::Alive,
            _ => PeerState::Ejected,
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.state.load(Relaxed) == EJECTED
    }

    /// A call went well. A peer that is out comes back by `readmit` alone.
    pub(super) fn succeeded(&self) {
        self.failures.store(0, Relaxed);
    }

    /// A ping was answered; gives what was thought before.
    pub(super) fn readmit(&self, rtt: Duration) -> PeerState {
        let before = self.state();
        self.failures.store(0, Relaxed);
        self.rtt_micros.store(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.state.store(ALIVE, Relaxed);
        before
    }

    /// A call failed; says whether that takes the peer out now.
    pub(super) fn failed(&self, eject_after: u32, why: &str) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        *self.last_error.lock() = Some(why.into());
        failures >= eject_after && self.state.swap(EJECTED, Relaxed) != EJECTED
    }

    pub(super) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_micros.load(Relaxed))
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.last_error.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_take_out_and_only_a_ping_brings_back() {
        let health = Health::default();
        assert_eq!(health.state(), PeerState::New);
        assert!(!health.failed(2, "one"));
        health.succeeded();
        assert!(!health.failed(2, "two"));
        assert!(health.failed(2, "three"), "out now");
        assert!(!health.failed(2, "four"), "out already");
        health.succeeded();
        assert!(health.is_ejected());
        assert_eq!(health.readmit(Duration::from_micros(5)), PeerState::Ejected);
        assert_eq!(health.state(), PeerState::Alive);
    }
}
