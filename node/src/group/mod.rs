//! The cache group: one named cache held together by peers.

mod builder;
mod changes;
mod codec;
pub mod config;
mod counters;
mod error;
mod flights;
#[expect(clippy::module_inception, reason = "the group is what this module is about")]
mod group;
mod marks;
mod metrics;
mod mirror;
mod owners;
mod peers;
pub mod process;
pub mod proto;
mod read;
mod serve;
mod served;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod version;
mod write;

pub use builder::Builder;
pub use changes::{Change, ChangeKind, Changes, Missed};
pub use codec::{Codec, CodecError, Json, Plain};
pub use error::{Error, MAX_KEY, MAX_VALUE};
pub use flights::{Flights, Landed, Lost, Overtaken};
pub use group::{Group, SetOptions, Ttl};
pub use metrics::PeersCollector;
pub use mirror::HotKeys;
pub use peers::{
    Broadcast, Carrier, Dial, EPOCH, HOPS, InvalidPeers, Nodes, ORIGIN, Origin, Passport, PeerInfo,
    PeerOptions, PeerState, Peers, QueueLimits, ShardGroup, SomePeers, Strategy, View, Wait,
    Written,
};
pub use server::{Bound, GroupServer, GroupService, ServerError, ServerOptions};
pub use version::{Clock, Version};

pub(crate) use changes::Teller;
pub(crate) use counters::Counters;
pub(crate) use error::check_key;
pub(crate) use owners::owner;
pub(crate) use peers::{Kind, Op, hung_up, millis};
pub(crate) use served::{Boxed, Knows, Served};
pub(crate) use version::{is_absurd, wall};
