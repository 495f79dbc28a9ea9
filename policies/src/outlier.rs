//! When to leave a node alone that others could stand in for: outlier ejection.
//!
//! Two things speak against a node. It **fails**: nobody listens, or the connection breaks, or nothing comes for as long
//! as anybody may wait. And it **loses**: it was asked first, has said nothing yet, and another node has answered in its
//! place. A node that hangs never fails in time, it only loses. So many of either in a row, with no answer in between, and
//! the node is out for a while, which doubles each time that it is met in the same state; one answer makes it as good as
//! new. After the while it is asked again like any other, and the first failure or loss is enough to take it out again.
//!
//! What failing says is certain, and asking such a node costs a try each time, so any number of nodes may be out for it.
//! Losing may only mean that the node is the slower one, so [`Places`] keep a share of the nodes in whatever happens:
//! when all are slow, none is an outlier.
//!
//! # Source
//!
//! Envoy's [outlier detection](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier)
//! (consecutive failures, ejection times, most per cent ejected). Where we differ: times double instead of growing by the
//! same step, lost hedges count, and only those are bound to a share.
//!
//! # Cost
//!
//! 64 bytes a node; every call is O(1).
use std::time::{Duration, Instant};

/// Settings of an [`Outlier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Failures in a row that take a node out; at least 1 counts.
    pub failures: u32,
    /// Losses in a row that do; 0 = none ever does.
    pub losses: u32,
    /// How long it is out the first time.
    pub time: Duration,
    /// How long at most.
    pub max_time: Duration,
}

impl Default for OutlierConfig {
    /// Three failures, since one is an accident; five losses, since a node may have a few long requests at a time. A
    /// second, in which a request may cross a cluster a hundred times, up to half a minute.
    fn default() -> Self {
        Self {
            failures: 3,
            losses: 5,
            time: Duration::from_secs(1),
            max_time: Duration::from_secs(30),
        }
    }
}

/// Whether one node is out. See the [module](self).
///
/// ```
/// use std::time::{Duration, Instant};
/// use kamaitachi_policies::outlier::{Outlier, OutlierConfig};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// let mut node = Outlier::new(OutlierConfig::default());
/// assert!(!node.failed(now) && !node.failed(now) && node.failed(now));
/// assert!(node.is_out() && !node.is_over(now));
/// assert!(node.is_over(now + Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug)]
pub struct Outlier {
    config: OutlierConfig,
    failures: u32,
    losses: u32,
    /// Ejections since the last answer.
    ejections: u32,
    until: Option<Instant>,
}

impl Outlier {
    /// A node that nothing speaks against.
    #[must_use]
    pub fn new(config: OutlierConfig) -> Self {
        Self { config, failures: 0, losses: 0, ejections: 0, until: None }
    }

    /// It answered: everything is forgiven.
    pub fn answered(&mut self) {
        *self = Self::new(self.config);
    }

    /// It failed a request. Whether that takes it out, just now.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failures >= self.config.failures && self.eject(now)
    }

    /// Another node answered in its place. Whether that takes it out, just now; `may` is asked for a place if it would.
    pub fn lost(&mut self, now: Instant, may: impl FnOnce() -> bool) -> bool {
        self.losses = self.losses.saturating_add(1);
        let is_enough = self.config.losses > 0 && self.losses >= self.config.losses;
        is_enough && self.until.is_none() && may() && self.eject(now)
    }

    /// Takes it out whatever was before. Whether it was in.
    pub fn eject(&mut self, now: Instant) -> bool {
        if self.until.is_some() {
            return false;
        }
        let factor = 2_u32.saturating_pow(self.ejections);
        self.until = Some(now + self.config.time.saturating_mul(factor).min(self.config.max_time));
        self.ejections = self.ejections.saturating_add(1);
        true
    }

    /// Whether it is out.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it is out and its time is over.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Lets it in again, on probation.
    pub fn readmit(&mut self) {
        self.until = None;
    }
}

/// How many nodes may be out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    percent: u8,
}

impl Places {
    /// So many per cent of the nodes, rounded down, but one of several always; above 100 counts as 100.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self { percent: percent.min(100) }
    }

    /// How many of `nodes` may be out.
    #[must_use]
    pub fn of(self, nodes: usize) -> usize {
        if nodes < 2 || self.percent == 0 {
            return 0;
        }
        (nodes.saturating_mul(usize::from(self.percent)) / 100).max(1)
    }
}

impl Default for Places {
    /// Half: what is left can just about do the work of all.
    fn default() -> Self {
        Self::percent(50)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn node() -> Outlier {
        Outlier::new(OutlierConfig::default())
    }

    #[test]
    fn failures_and_losses_count_apart_and_only_in_a_row() {
        let (mut node, now) = (node(), start());
        assert!(!node.failed(now) && !node.failed(now));
        assert!((0..4).all(|_| !node.lost(now, || true)));
        node.answered();
        assert!(!node.failed(now) && !node.failed(now) && node.failed(now));
        assert!(node.is_out() && !node.failed(now), "it is out already");
    }

    #[test]
    fn losses_take_it_out_only_where_there_is_a_place() {
        let (mut node, now) = (node(), start());
        for _ in 0..9 {
            assert!(!node.lost(now, || false));
        }
        assert!(node.lost(now, || true));
        let config = OutlierConfig { losses: 0, ..OutlierConfig::default() };
        let mut never = Outlier::new(config);
        assert!((0..99).all(|_| !never.lost(now, || true)));
    }

    #[test]
    fn times_double_up_to_the_longest_and_an_answer_makes_them_short_again() {
        let (mut node, mut now) = (node(), start());
        assert_eq!((0..3).filter(|_| node.failed(now)).count(), 1);
        for secs in [1, 2, 4, 8, 16, 30, 30] {
            let end = now + Duration::from_secs(secs);
            assert!(node.is_out() && !node.is_over(end - Duration::from_millis(1)), "{secs}");
            assert!(node.is_over(end), "{secs}");
            node.readmit();
            assert!(!node.is_out());
            now = end;
            assert!(node.failed(now), "one failure is enough on probation");
        }
        node.answered();
        assert_eq!((0..3).filter(|_| node.failed(now)).count(), 1);
        assert!(node.is_over(now + Duration::from_secs(1)));
    }

    #[test]
    fn of_several_nodes_one_may_be_out_and_of_one_none() {
        let half = Places::default();
        let of = [0, 1, 2, 3, 4, 10].map(|nodes| half.of(nodes));
        assert_eq!(of, [0, 0, 1, 1, 2, 5]);
        assert_eq!((Places::percent(0).of(9), Places::percent(255).of(9)), (0, 9));
    }

    proptest! {
        #[test]
        fn some_node_always_stays_in(percent in 0_u8..100, nodes in 0_usize..2_000) {
            let out = Places::percent(percent).of(nodes);
            prop_assert!(out < nodes.max(1));
        }
    }
}
