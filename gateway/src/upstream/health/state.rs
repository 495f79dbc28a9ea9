//! The state of one node.
use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use kamaitachi_layers::select;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How much it takes to call a node dead, and alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Failures in a row, of requests or of probes, after which a node is down. Default 3: one lost probe is an accident.
    pub unhealthy_after: u32,
    /// Successful probes in a row after which it is up again. Default 2: one success could be the last before the next
    /// crash.
    pub healthy_after: u32,
    /// How long a node that failed requests is left alone at first. Default 1 s.
    pub back_off: Duration,
    /// How long at most. Default 30 s.
    pub max_back_off: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            unhealthy_after: 3,
            healthy_after: 2,
            back_off: Duration::from_secs(1),
            max_back_off: Duration::from_secs(30),
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
    // Failed requests in a row; read on every answer.
    failures: AtomicU32,
    // Whether there is a back-off to end; read on every tick.
    backing_off: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    left_alone_until: Option<Instant>,
    /// Back-offs since the last answer.
    back_offs: u32,
    /// Whether probes are against it.
    probed_down: bool,
    probes_failed: u32,
    probes_passed: u32,
}

impl Health {
    pub(in crate::upstream) fn new(config: HealthConfig) -> Self {
        Self {
            config,
            flag: select::Health::new(),
            failures: AtomicU32::new(0),
            backing_off: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flag.is_up()
    }

    /// The flag that says whether it is up.
    #[must_use]
    pub fn flag(&self) -> &select::Health {
        &self.flag
    }

    /// A request was answered.
    pub(in crate::upstream) fn answered(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.recovered();
        }
    }

    #[cold]
    fn recovered(&self) {
        let mut state = self.state.lock();
        self.failures.store(0, Relaxed);
        self.end_back_off(&mut state);
        state.back_offs = 0;
        self.publish(&state);
    }

    /// A request failed in a way that speaks against the node.
    pub(in crate::upstream) fn failed(&self, now: Instant) {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures < self.config.unhealthy_after {
            return;
        }
        let mut state = self.state.lock();
        if state.left_alone_until.is_some() {
            return;
        }
        let factor = 2_u32.saturating_pow(state.back_offs);
        let back_off = self.config.back_off.saturating_mul(factor).min(self.config.max_back_off);
        state.left_alone_until = Some(now + back_off);
        state.back_offs = state.back_offs.saturating_add(1);
        state.probes_passed = 0;
        self.backing_off.store(true, Relaxed);
        self.publish(&state);
    }

    /// Ends a back-off whose time is over.
    pub(in crate::upstream) fn tick(&self, now: Instant) {
        if !self.backing_off.load(Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if state.left_alone_until.is_some_and(|until| until <= now) {
            self.end_back_off(&mut state);
            self.publish(&state);
        }
    }

    /// A probe came back.
    pub(super) fn probed(&self, probed: Probed) {
        let mut state = self.state.lock();
        match probed {
            Probed::Ready => {
                state.probes_failed = 0;
                state.probes_passed = state.probes_passed.saturating_add(1);
                if state.probes_passed >= self.config.healthy_after {
                    state.probed_down = false;
                    self.end_back_off(&mut state);
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
        state.left_alone_until = None;
        self.backing_off.store(false, Relaxed);
    }

    fn publish(&self, state: &State) {
        self.flag.set(state.left_alone_until.is_none() && !state.probed_down);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: HealthConfig = HealthConfig {
        unhealthy_after: 3,
        healthy_after: 2,
        back_off: Duration::from_secs(1),
        max_back_off: Duration::from_secs(3),
    };

    fn fail(health: &Health, times: u32, now: Instant) {
        (0..times).for_each(|_| health.failed(now));
    }

    #[test]
    fn failures_in_a_row_and_no_others_take_a_node_out() {
        let (health, now) = (Health::new(CONFIG), Instant::now());
        fail(&health, 2, now);
        health.answered();
        fail(&health, 2, now);
        assert!(health.is_up());
        fail(&health, 1, now);
        assert!(!health.is_up());
    }

    #[test]
    fn a_back_off_ends_with_time_and_doubles_up_to_its_limit() {
        let (health, mut now) = (Health::new(CONFIG), Instant::now());
        fail(&health, 3, now);
        for secs in [1, 2, 3, 3] {
            let until = now + Duration::from_secs(secs);
            health.tick(until - Duration::from_millis(1));
            assert!(!health.is_up(), "{secs}");
            health.tick(until);
            assert!(health.is_up(), "{secs}");
            now = until;
            fail(&health, 1, now);
            assert!(!health.is_up(), "one failure after a back-off is enough");
        }
    }

    #[test]
    fn an_answer_makes_it_as_good_as_new() {
        let (health, now) = (Health::new(CONFIG), Instant::now());
        fail(&health, 3, now);
        health.answered();
        assert!(health.is_up());
        fail(&health, 3, now);
        health.tick(now + Duration::from_secs(1));
        assert!(health.is_up(), "the back-off is the shortest again");
    }

    #[test]
    fn probes_need_several_failures_but_not_ready_counts_at_once() {
        let health = Health::new(CONFIG);
        for probed in [Probed::NoAnswer, Probed::NoAnswer, Probed::Ready, Probed::NoAnswer] {
            health.probed(probed);
            assert!(health.is_up());
        }
        health.probed(Probed::NoAnswer);
        health.probed(Probed::NoAnswer);
        assert!(!health.is_up());

        let health = Health::new(CONFIG);
        health.probed(Probed::NotReady);
        assert!(!health.is_up());
    }

    #[test]
    fn probes_bring_it_back_after_several_successes_in_a_row() {
        let health = Health::new(CONFIG);
        health.probed(Probed::NotReady);
        for probed in [Probed::Ready, Probed::NoAnswer, Probed::Ready] {
            health.probed(probed);
            assert!(!health.is_up());
        }
        health.probed(Probed::Ready);
        assert!(health.is_up());
    }

    #[test]
    fn probes_end_a_back_off_but_not_with_earlier_successes() {
        let (health, now) = (Health::new(CONFIG), Instant::now());
        (0..5).for_each(|_| health.probed(Probed::Ready));
        fail(&health, 3, now);
        health.probed(Probed::Ready);
        assert!(!health.is_up());
        health.probed(Probed::Ready);
        assert!(health.is_up());
    }

    #[test]
    fn the_end_of_a_back_off_does_not_overrule_probes() {
        let (health, now) = (Health::new(CONFIG), Instant::now());
        health.probed(Probed::NotReady);
        fail(&health, 3, now);
        health.tick(now + Duration::from_secs(60));
        health.answered();
        assert!(!health.is_up());
    }
}
