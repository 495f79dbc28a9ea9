//! Which peers hold a key, and who of them answers for it.

use std::{collections::BTreeSet, fmt, num::NonZeroU16, sync::Arc};

use kamaitachi_policies::ring::{DEFAULT_REPLICAS, NodeIndex, Ring, Spread};
use smallvec::SmallVec;

use super::view::View;

/// Some members of a view.
pub type Nodes = SmallVec<[NodeIndex; 8]>;

/// Decides where the writes of a key go. Pure: equal views give equal answers everywhere.
pub trait Strategy: fmt::Debug + Send + Sync + 'static {
    /// The word for it in configuration and metrics.
    fn name(&self) -> &'static str;

    /// The peers that hold what is set, this one included where it does.
    fn holders(&self, view: &View, key: &str) -> Nodes;

    /// The peers in the order in which they answer for a key, its owner first; the first that is
    /// not known to be down is asked. Any number may be given, one where there are members.
    fn successors(&self, view: &View, key: &str) -> Nodes {
        view.ring().successors(key.as_bytes()).take(8).collect()
    }

    /// Whether every member holds every key, so that none has to be handed on when members change.
    fn is_everywhere(&self) -> bool {
        false
    }
}

/// Every member holds every key: gets that follow a set are local everywhere. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broadcast;

impl Strategy for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn holders(&self, view: &View, _key: &str) -> Nodes {
        view.nodes().into()
    }

    fn is_everywhere(&self) -> bool {
        true
    }
}

/// Some peers alone.
#[derive(Clone, Debug)]
pub enum Peers {
    /// Those named, where they are members, and whoever writes.
    Named(BTreeSet<Arc<str>>),
    /// The key's owner and as many of its successors on the ring.
    Successors(u8),
}

impl Strategy for Peers {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn holders(&self, view: &View, key: &str) -> Nodes {
        match self {
            Self::Named(names) => {
                let mut nodes: Nodes =
                    names.iter().filter_map(|name| view.index_of(name)).collect();
                nodes.extend(view.me().filter(|me| !nodes.contains(me)));
                nodes
            }
            Self::Successors(more) => {
                view.ring().successors(key.as_bytes()).take(1 + usize::from(*more)).collect()
            }
        }
    }
}

/// Members are divided into shards; a key belongs to one shard, whose members all hold it.
///
/// A shard none of whose members is there leaves its keys to the next shard. A member that no
/// shard lists holds nothing but copies of hot keys.
#[derive(Clone, Debug)]
pub struct ShardGroup {
    shards: Vec<BTreeSet<Arc<str>>>,
    ring: Ring,
}

impl ShardGroup {
    /// Shards by the addresses of their members.
    #[must_use]
    pub fn new(shards: Vec<BTreeSet<Arc<str>>>) -> Self {
        let replicas: NonZeroU16 = DEFAULT_REPLICAS;
        let names = (0..shards.len()).map(|at| format!("{at:05}"));
        Self { ring: Ring::new(names, replicas, Spread::Mixed), shards }
    }

    /// The live members of the key's shard.
    fn members(&self, view: &View, key: &str) -> Nodes {
        let of = |shard: NodeIndex| -> Nodes {
            self.shards[shard.get()].iter().filter_map(|name| view.index_of(name)).collect()
        };
        let mut shards = self.ring.successors(key.as_bytes()).map(of);
        shards.find(|members| !members.is_empty()).unwrap_or_default()
    }
}

impl Strategy for ShardGroup {
    fn name(&self) -> &'static str {
        "shard_group"
    }

    fn holders(&self, view: &View, key: &str) -> Nodes {
        self.members(view, key)
    }

    fn successors(&self, view: &View, key: &str) -> Nodes {
        let members = self.members(view, key);
        view.ring().successors(key.as_bytes()).filter(|node| members.contains(node)).collect()
    }
}
