//! The choice that no node gets far more than its share of.

use super::{NodeIndex, Ring};

/// How far above its fair share of the load a node may go: 125 % and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadBound(u32);

/// Why a [`LoadBound`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLoadBound {
    /// Below a fair share the nodes together could not carry the load.
    #[error("load bound is {0} %, expected 100 or more")]
    BelowFairShare(u32),
}

impl LoadBound {
    /// A bound of `percent` of the fair share. The closer to 100, the evener the load and the
    /// more keys leave their owner.
    ///
    /// # Errors
    ///
    /// When `percent` is below 100.
    pub const fn percent(percent: u32) -> Result<Self, InvalidLoadBound> {
        if percent < 100 {
            Err(InvalidLoadBound::BelowFairShare(percent))
        } else {
            Ok(Self(percent))
        }
    }

    /// The most that a node with `weight` of `weights` may carry of `total`, rounded up.
    fn capacity(self, total: u128, weight: u32, weights: u128) -> u128 {
        (total * u128::from(self.0) * u128::from(weight)).div_ceil(100 * weights)
    }
}

impl Ring {
    /// The first node from `key` on whose load leaves room for one more under `bound`; the owner
    /// unless it is busier than the others. `loads` tells a node's present load, say its requests
    /// in flight.
    ///
    /// A node may carry ⌈bound × (total load + 1) × its weight / all weights⌉, so there is always
    /// one with room. Should loads change between the readings so that none is found, the owner
    /// is the answer. `None` only when no node has a point. Reads each load twice at most.
    #[must_use]
    pub fn owner_bounded(
        &self,
        key: &[u8],
        bound: LoadBound,
        loads: impl Fn(NodeIndex) -> u32,
    ) -> Option<NodeIndex> {
        let placed = || self.nodes.iter().zip(0..).filter(|(node, _)| node.replicas > 0);
        let weights: u128 = placed().map(|(node, _)| u128::from(node.replicas)).sum();
        let total: u128 = placed().map(|(_, at)| u128::from(loads(NodeIndex(at)))).sum();
        self.successors(key)
            .find(|&node| {
                let weight = self.nodes[node.get()].replicas;
                u128::from(loads(node)) < bound.capacity(total + 1, weight, weights)
            })
            .or_else(|| self.owner(key))
    }
}
