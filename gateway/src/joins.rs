//! Slow start: which nodes have joined a while ago, and how much of their keys they are given since.
//!
//! A node that is in the first list is given all its keys at once, and so is one that comes where there was none: there
//! is nobody who would know them better. One that joins others begins with a share of them, see
//! [`ramp`](kamaitachi_policies::ramp). A node that leaves and comes back has joined anew; one that was merely not
//! healthy for a while has not.

use std::{collections::BTreeMap, time::Duration};

use kamaitachi_layers::select::Ramp;
use kamaitachi_policies::ramp::Share;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::NodeAddr;

/// How finely shares grow, and how often they are looked at, at most and at least.
const STEPS: u32 = 100;
const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The nodes of the ring, by when they joined.
#[derive(Debug)]
pub struct Joins {
    window: Duration,
    /// Those that are new with their shares.
    nodes: Mutex<BTreeMap<NodeAddr, Option<(Instant, Ramp)>>>,
}

impl Joins {
    /// Lets nodes that join take `window` to get all their keys; zero does without.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window, nodes: Mutex::default() }
    }

    /// How often [`advance`](Self::advance) is to be called. `None` where nodes get all their keys at once.
    #[must_use]
    pub fn tick(&self) -> Option<Duration> {
        (!self.window.is_zero()).then(|| (self.window / STEPS).clamp(TICK.0, TICK.1))
    }

    /// Notes that `members` are the nodes `now`. To be called before they are put into pools.
    pub fn note(&self, members: &[NodeAddr], now: Instant) {
        if self.window.is_zero() {
            return;
        }
        let nodes = &mut *self.nodes.lock();
        let joins_others = !nodes.is_empty();
        nodes.retain(|node, _| members.contains(node));
        for node in members {
            nodes.entry(node.clone()).or_insert_with(|| {
                joins_others.then(|| {
                    tracing::info!(%node, window = ?self.window, "joins slowly");
                    (now, Ramp::new(Share::FIRST))
                })
            });
        }
    }

    /// The share of `node`, if it is new.
    #[must_use]
    pub fn ramp(&self, node: &NodeAddr) -> Option<Ramp> {
        let nodes = self.nodes.lock();
        nodes.get(node)?.as_ref().map(|(_, ramp)| ramp.clone())
    }

    /// Lets shares grow to what they are `now`.
    pub fn advance(&self, now: Instant) {
        for new in self.nodes.lock().values_mut() {
            let Some((joined, ramp)) = new else { continue };
            let share = Share::after(now.saturating_duration_since(*joined), self.window);
            ramp.set(share);
            if share.is_full() {
                *new = None;
            }
        }
    }

    /// Lets shares grow for ever. Cancel safe.
    pub async fn drive(&self, tick: Duration) {
        loop {
            tokio::time::sleep(tick).await;
            self.advance(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(90);

    fn addrs(texts: &[&str]) -> Vec<NodeAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn share(joins: &Joins, node: &str) -> Option<Share> {
        joins.ramp(&node.parse().unwrap()).map(|ramp| ramp.share())
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_joins_others_gets_its_keys_bit_by_bit() {
        let joins = Joins::new(WINDOW);
        joins.note(&addrs(&["a:1"]), Instant::now());
        joins.note(&addrs(&["a:1", "b:1"]), Instant::now());
        let ramp = joins.ramp(&"b:1".parse().unwrap()).unwrap();
        let driven = joins.drive(joins.tick().unwrap());
        let looked = async {
            let mut before = Share::FIRST;
            assert_eq!(ramp.share(), before);
            for second in 2..90 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                // Every worker says who the nodes are, again and again.
                joins.note(&addrs(&["a:1", "b:1"]), Instant::now());
                assert!(ramp.share() >= before, "after {second} s");
                before = ramp.share();
            }
            assert!(before > Share::after(WINDOW / 2, WINDOW) && !before.is_full());
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(ramp.share().is_full());
            assert_eq!((share(&joins, "a:1"), share(&joins, "b:1")), (None, None));
        };
        tokio::select! {
            () = driven => {}
            () = looked => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_nodes_and_those_that_find_nobody_get_all_at_once() {
        let joins = Joins::new(WINDOW);
        joins.note(&[], Instant::now());
        joins.note(&addrs(&["a:1", "b:1"]), Instant::now());
        assert_eq!((share(&joins, "a:1"), share(&joins, "b:1")), (None, None));
        joins.note(&[], Instant::now());
        joins.note(&addrs(&["b:1"]), Instant::now());
        assert_eq!(share(&joins, "b:1"), None);
        joins.note(&addrs(&["a:1", "b:1"]), Instant::now());
        assert_eq!((share(&joins, "a:1"), share(&joins, "b:1")), (Some(Share::FIRST), None));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_nobody_is_new() {
        let joins = Joins::new(Duration::ZERO);
        joins.note(&addrs(&["a:1"]), Instant::now());
        joins.note(&addrs(&["a:1", "b:1"]), Instant::now());
        assert_eq!((joins.tick(), share(&joins, "b:1")), (None, None));
    }
}
