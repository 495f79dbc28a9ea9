//! Which node owns a key: a consistent-hash ring as an immutable value.
//!
//! Every node is hashed to many points on a circle of 2³² places; a key belongs to the first point
//! at or after its own hash, wrapping. When a node comes or goes, only its own keys move.
//!
//! A [`Ring`] never changes. Whoever learns of a new membership builds another one and swaps it
//! in whole, so a lookup takes no lock. Two rings built from the same nodes are equal on every
//! machine, whatever the order (or the repetition) in which the nodes were listed.
//!
//! # Source
//!
//! Consistent hashing: Karger et al., *Consistent Hashing and Random Trees*, STOC 1997. Points are
//! placed as groupcache and its descendants do it: CRC-32 (IEEE) of the decimal replica number
//! followed by the node's name (`0localhost:8081`). Where we differ: points that collide belong to
//! the name that sorts first (there: to whoever was inserted last), and [`Spread::Mixed`] can even
//! out CRC-32's clustering. Bounded loads: Mirrokni, Thorup and Zadimoghaddam, *Consistent Hashing
//! with Bounded Loads*, 2017 ([arXiv 1608.01350](https://arxiv.org/abs/1608.01350)).
//!
//! # Cost
//!
//! With P = nodes × replicas points: building sorts P points; memory is 8 bytes a point plus 4 to
//! 8 for the index. A lookup hashes the key, reads one index cell and looks at one point on
//! average (a binary search among the points of that cell at worst); it allocates nothing.
//!
//! ```
//! use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};
//!
//! let ring = Ring::new(["localhost:8081", "localhost:8082"], DEFAULT_REPLICAS, Spread::Plain);
//! let owner = ring.owner(b"33:000001").unwrap();
//! assert_eq!(ring.name(owner), Some("localhost:8082"));
//! ```

mod bounded;
mod points;
mod successors;

#[cfg(test)]
mod tests;

use std::num::NonZeroU16;

pub use bounded::{InvalidLoadBound, LoadBound};
use points::Points;
pub use successors::Successors;

/// Points a node gets when nothing else is asked for. 50 is enough above 100 nodes.
pub const DEFAULT_REPLICAS: NonZeroU16 = NonZeroU16::new(150).expect("150 is not zero");

/// A node that holds its full share of the ring. See [`Ring::weighted`].
pub const FULL_WEIGHT: u8 = 100;

/// How evenly the nodes share the circle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Spread {
    /// CRC-32 as it is: the placement other programs of this family compute. Addresses that differ
    /// in a digit cluster: the busiest of ten nodes often holds a third more than its share.
    #[default]
    Plain,
    /// CRC-32 followed by MurmurHash3's 32-bit finaliser, for points and keys alike: shares even
    /// out. All parties of a ring must use the same spread.
    Mixed,
}

impl Spread {
    /// The place of `bytes` on the circle.
    #[must_use]
    pub fn hash(self, bytes: &[u8]) -> u32 {
        self.finish(crc32fast::hash(bytes))
    }

    fn finish(self, crc: u32) -> u32 {
        match self {
            Self::Plain => crc,
            Self::Mixed => mix(crc),
        }
    }
}

/// MurmurHash3's `fmix32` (Austin Appleby, public domain): a bijection in which each input bit
/// flips each output bit about half of the time.
pub(crate) const fn mix(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// A node's place in its ring's sorted list of names. Meaningful for that ring only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(u32);

impl NodeIndex {
    /// The position in [`Ring::nodes`], to index a slice kept beside the ring.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// One node as the ring knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    name: Box<str>,
    /// Points asked for; 0 when the node drains.
    replicas: u32,
}

/// An immutable consistent-hash ring. See the [module](self) for what it decides and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Sorted by name, without repeats.
    nodes: Box<[Node]>,
    spread: Spread,
    points: Points,
}

impl Ring {
    /// A ring of equal nodes with `replicas` points each. Repeated names count once.
    pub fn new<N>(nodes: impl IntoIterator<Item = N>, replicas: NonZeroU16, spread: Spread) -> Self
    where
        N: Into<Box<str>>,
    {
        Self::weighted(nodes.into_iter().map(|name| (name, FULL_WEIGHT)), replicas, spread)
    }

    /// A ring in which each node holds `weight` percent of `replicas` points, rounded up.
    ///
    /// Weight 0 drains a node: it stays in [`nodes`](Self::nodes) but owns no key and is nobody's
    /// successor. Raising a weight only adds points, so keys move to that node alone. Of a name
    /// that is listed with several weights the largest counts.
    pub fn weighted<N>(
        nodes: impl IntoIterator<Item = (N, u8)>,
        replicas: NonZeroU16,
        spread: Spread,
    ) -> Self
    where
        N: Into<Box<str>>,
    {
        let full = u32::from(replicas.get());
        let mut nodes: Vec<Node> = nodes
            .into_iter()
            .map(|(name, weight)| Node {
                name: name.into(),
                replicas: (full * u32::from(weight)).div_ceil(u32::from(FULL_WEIGHT)),
            })
            .collect();
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name).then(b.replicas.cmp(&a.replicas)));
        nodes.dedup_by(|later, first| later.name == first.name);
        let points = Points::place(&nodes, spread);
        Self { nodes: nodes.into(), spread, points }
    }

    /// The node that owns `key`, or `None` when no node has a point.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<NodeIndex> {
        self.points.owner(self.points.at_or_after(self.spread.hash(key)))
    }

    /// The distinct nodes in the order in which the circle meets them from `key` on, the owner
    /// first. This is the order to try when an owner does not answer.
    ///
    /// Allocates nothing on rings of up to 256 nodes; visits each point once at most. (A node all
    /// of whose points collide with those of earlier names owns nothing and is not met.)
    #[must_use]
    pub fn successors(&self, key: &[u8]) -> Successors<'_> {
        let start = self.points.at_or_after(self.spread.hash(key));
        Successors::new(&self.points, start, self.nodes.len())
    }

    /// The names, sorted; a [`NodeIndex`] is a position in them.
    #[must_use]
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.nodes.iter().map(|node| &*node.name)
    }

    /// The name of a node, or `None` when the index is of another, larger ring.
    #[must_use]
    pub fn name(&self, node: NodeIndex) -> Option<&str> {
        self.nodes.get(node.get()).map(|node| &*node.name)
    }

    /// Where `name` stands in this ring. Binary search over the names.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<NodeIndex> {
        let at = self.nodes.binary_search_by(|node| (*node.name).cmp(name)).ok()?;
        u32::try_from(at).ok().map(NodeIndex)
    }

    /// How many nodes there are, draining ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How points and keys are hashed.
    #[must_use]
    pub fn spread(&self) -> Spread {
        self.spread
    }

    /// The part of the circle that `node` owns, from 0 to 1: what it gets of evenly spread keys.
    /// Visits every point: for monitoring, not for the way of a request.
    #[must_use]
    pub fn share(&self, node: NodeIndex) -> f64 {
        self.points.share(node)
    }
}
