//! A group as the connections and the server see it: bytes, whatever its values are.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::{
    Error, Wait, Written,
    changes::Changes,
    counters::Counters,
    peers::Origin,
    proto::{self, apply_reply},
    version::Version,
};

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What whoever asks for a key knows of it, so that asking also tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Knows {
    /// Its newest delete.
    pub(crate) deleted: Option<Version>,
    /// The newest clear.
    pub(crate) cleared: Option<Version>,
}

/// What a server asks of a group, and the connections tell it.
pub(crate) trait Served: fmt::Debug + Send + Sync {
    fn name(&self) -> &Arc<str>;

    /// A random number for each start.
    fn life(&self) -> u64;

    fn get(
        self: Arc<Self>,
        key: String,
        origin: Origin,
        knows: Knows,
    ) -> Boxed<'static, Result<proto::GetReply, Error>>;

    fn get_many(
        self: Arc<Self>,
        keys: Vec<String>,
        origin: Origin,
        cleared: Option<Version>,
    ) -> Boxed<'static, Vec<proto::Found>>;

    fn set(
        self: Arc<Self>,
        pair: proto::Pair,
        wait: Wait,
        origin: Origin,
    ) -> Boxed<'static, Result<Written, Error>>;

    fn delete(
        self: Arc<Self>,
        key: String,
        wait: Wait,
        origin: Origin,
    ) -> Boxed<'static, Result<Written, Error>>;

    fn clear(self: Arc<Self>, wait: Wait, origin: Origin) -> Boxed<'static, Written>;

    fn ttl(&self, key: &str) -> Result<proto::TtlReply, Error>;

    /// A page of the keys held here.
    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Vec<proto::KeyInfo>;

    fn stats(&self) -> proto::StatsReply;

    fn owner(&self, key: &str) -> proto::OwnerReply;

    fn watch(&self) -> Changes;

    /// Applies a write of a peer; also gives what is known better.
    fn apply(self: Arc<Self>, write: proto::Write) -> (apply_reply::Outcome, Option<proto::Write>);

    /// Compares what a peer knows with what is known here.
    fn reconcile(&self, known: Vec<proto::Known>, cleared: Version) -> proto::ReconcileReply;

    /// The versions known here of what `peer` should hold.
    fn known_for(&self, peer: &str) -> Vec<(Arc<str>, Version, bool)>;

    /// The newest write of a key, to be sent.
    fn write_of(&self, key: &str) -> Option<proto::Write>;

    /// The newest clear.
    fn cleared(&self) -> Version;

    /// Every peer has this delete.
    fn settle(&self, key: &str, version: Version);

    /// A peer takes this set for one of a key that was deleted since: so do we.
    fn forgotten(self: Arc<Self>, key: &str, version: Version);

    fn members_changed(self: Arc<Self>);

    fn counters(&self) -> &Counters;
    fn hop(&self, hops: u32);
    fn sync_acknowledged(&self, writes: u64);
    fn sync_failed(&self, writes: u64);
    fn sync_dropped(&self, writes: u64);
}
