//! The state of one node.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kamaitachi_layers::select;
use kamaitachi_policies::outlier::{Outlier, OutlierConfig};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::late::{LatePlaces, Place};

/// How much it takes to call a node dead, and alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Failures in a row, of requests or of probes, after which a node is down. Default 3: one lost probe is an accident.
    pub unhealthy_after: u32,
    /// Successful probes in a row after which it is up again. Default 2: one success could be the last before the next
    /// crash.
    pub healthy_after: u32,
    /// Requests in a row in which another node answered first, after which it is left alone; 0 = never. Default 5.
    pub lost_hedges: u32,
    /// How long a node that failed requests is left alone at first. Default 1 s.
    pub back_off: Duration,
    /// How long at most. Default 30 s.
    pub max_back_off: Duration,
    /// Whether somebody probes it: then a back-off does not end before a probe has passed. Default no.
    pub is_probed: bool,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let defaults = OutlierConfig::default();
        Self {
            unhealthy_after: defaults.failures,
            healthy_after: 2,
            lost_hedges: defaults.losses,
            back_off: defaults.time,
            max_back_off: defaults.max_time,
            is_probed: false,
        }
    }
}

impl HealthConfig {
    fn outlier(self) -> Outlier {
        Outlier::new(OutlierConfig {
            failures: self.unhealthy_after,
            losses: self.lost_hedges,
            time: self.back_off,
            max_time: self.max_back_off,
        })
    }
}

/// Why a node is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejected {
    /// It failed requests.
    Failing,
    /// Others answered in its place.
    Late,
    /// It said itself that it is not there for requests.
    Refusing,
}

impl Ejected {
    /// All there are, in the order of [`Health::ejections`].
    pub const ALL: [Self; 3] = [Self::Failing, Self::Late, Self::Refusing];

    /// The word for it in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Late => "late",
            Self::Refusing => "refusing",
        }
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// It can serve.
    Ready,
    /// It says that it cannot.
    NotReady,
    /// It did not say.
    NoAnswer,
}

/// The health of one node, shared by all workers and the prober.
#[derive(Debug)]
pub struct Health {
    config: HealthConfig,
    flag: select::Health,
    places: Arc<LatePlaces>,
    // Whether there is anything to forgive, or no answer yet; read on every answer.
    blemished: AtomicBool,
    // Whether there is a back-off to end; read on every tick.
    backing_off: AtomicBool,
    // Whether it has ever answered a request, or a probe well.
    met: AtomicBool,
    ejections: [AtomicU64; Ejected::ALL.len()],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    outlier: Outlier,
    place: Option<Place>,
    /// Whether probes are against it.
    probed_down: bool,
    probes_failed: u32,
    probes_passed: u32,
    /// Whether it was let in again and has not answered since: probes that vouched for it may have been wrong.
    on_probation: bool,
}

impl Health {
    pub(in crate::upstream) fn new(config: HealthConfig, places: Arc<LatePlaces>) -> Self {
        let state = State {
            outlier: config.outlier(),
            place: None,
            probed_down: false,
            probes_failed: 0,
            probes_passed: 0,
            on_probation: false,
        };
        Self {
            config,
            flag: select::Health::new(),
            places,
            blemished: AtomicBool::new(true),
            backing_off: AtomicBool::new(false),
            met: AtomicBool::new(false),
            ejections: Default::default(),
            state: Mutex::new(state),
        }
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flag.is_up()
    }

    /// Whether the last probe found it ready, and requests say nothing else.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_up() && self.config.is_probed && self.state.lock().probes_passed > 0
    }

    /// Whether it has ever answered a request, or been found ready by a probe.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.met.load(Relaxed)
    }

    /// Whether it is up by what is known of it, and not for want of knowledge: at the start every node is up. Where nobody
    /// probes it that has to do.
    #[must_use]
    pub fn can_serve(&self) -> bool {
        self.is_up() && (self.is_met() || !self.config.is_probed)
    }

    /// The flag that says whether it is up.
    #[must_use]
    pub fn flag(&self) -> &select::Health {
        &self.flag
    }

    /// How often it was left alone for what it did to requests, for the reasons of [`Ejected::ALL`].
    #[must_use]
    pub fn ejections(&self) -> [u64; Ejected::ALL.len()] {
        self.ejections.each_ref().map(|n| n.load(Relaxed))
    }

    /// A request was answered.
    pub(in crate::upstream) fn answered(&self) {
        if self.blemished.load(Relaxed) {
            self.recovered();
        }
    }

    #[cold]
    fn recovered(&self) {
        let mut state = self.state.lock();
        self.blemished.store(false, Relaxed);
        self.met.store(true, Relaxed);
        state.outlier.answered();
        self.end_back_off(&mut state);
        state.on_probation = false;
        self.publish(&state);
    }

    /// A request failed in a way that speaks against the node.
    pub(in crate::upstream) fn failed(&self, now: Instant) {
        let mut state = self.state.lock();
        self.blemished.store(true, Relaxed);
        if state.outlier.failed(now.into_std()) {
            self.eject(&mut state, Ejected::Failing);
        }
    }

    /// Another node answered a request that this one was asked first, and has not answered.
    pub(in crate::upstream) fn lost(&self, now: Instant) {
        let mut state = self.state.lock();
        self.blemished.store(true, Relaxed);
        let mut place = None;
        let may = || {
            place = self.places.take();
            place.is_some()
        };
        if state.outlier.lost(now.into_std(), may) {
            state.place = place;
            self.eject(&mut state, Ejected::Late);
        }
    }

    /// It said itself that it is not there for requests: as good as a probe that says so.
    pub(in crate::upstream) fn refused(&self, now: Instant) {
        let mut state = self.state.lock();
        self.blemished.store(true, Relaxed);
        if state.outlier.eject(now.into_std()) {
            self.eject(&mut state, Ejected::Refusing);
        }
    }

    fn eject(&self, state: &mut State, why: Ejected) {
        self.ejections[why as usize].fetch_add(1, Relaxed);
        state.probes_passed = 0;
        self.backing_off.store(true, Relaxed);
        self.publish(state);
    }

    /// Ends a back-off whose time is over.
    pub(in crate::upstream) fn tick(&self, now: Instant) {
        if !self.backing_off.load(Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        // Requests need not find out what a probe can.
        let is_vouched_for = !self.config.is_probed || state.probes_passed > 0;
        if state.outlier.is_over(now.into_std()) && is_vouched_for {
            self.end_back_off(&mut state);
            self.publish(&state);
        }
    }

    /// A probe came back.
    pub(super) fn probed(&self, probed: Probed) {
        let mut state = self.state.lock();
        match probed {
            Probed::Ready => {
                self.met.store(true, Relaxed);
                state.probes_failed = 0;
                state.probes_passed = state.probes_passed.saturating_add(1);
                if state.probes_passed >= self.config.healthy_after {
                    state.probed_down = false;
                    // A node that fails requests and passes probes would be in again every few of them.
                    if !state.on_probation {
                        self.end_back_off(&mut state);
                    }
                }
            }
            Probed::NotReady | Probed::NoAnswer => {
                state.probes_passed = 0;
                state.probes_failed = state.probes_failed.saturating_add(1);
                state.probed_down |= probed == Probed::NotReady
                    || state.probes_failed >= self.config.unhealthy_after;
            }
        }
        self.publish(&state);
    }

    fn end_back_off(&self, state: &mut State) {
        state.on_probation |= state.outlier.is_out();
        state.outlier.readmit();
        state.place = None;
        self.backing_off.store(false, Relaxed);
    }

    fn publish(&self, state: &State) {
        self.flag.set(!state.outlier.is_out() && !state.probed_down);
    }
}

#[cfg(test)]
mod tests;
