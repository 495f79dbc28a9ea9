//! A write on its way to peers.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::super::{proto, served::Served, version::Version};

/// What a queued write takes beside its key and value.
const OVERHEAD: usize = 256;

/// A write with its version. Shared by the queues of all peers it goes to.
#[derive(Debug)]
pub(in super::super) struct Op {
    pub(in super::super) group: Arc<str>,
    /// Empty for a clear.
    pub(in super::super) key: Arc<str>,
    pub(in super::super) kind: Kind,
    pub(in super::super) version: Version,
    /// Of a delete: what is to happen when every peer has it.
    pub(in super::super) settle: Option<Settle>,
}

#[derive(Clone, Debug)]
pub(in super::super) enum Kind {
    Set { value: Bytes, expires: Instant },
    Delete,
    Clear,
}

impl Op {
    /// Bytes it counts in a queue.
    pub(super) fn cost(&self) -> usize {
        let value = match &self.kind {
            Kind::Set { value, .. } => value.len(),
            Kind::Delete | Kind::Clear => 0,
        };
        OVERHEAD + self.key.len() + value
    }

    /// The write as it is sent; `None` when its time is over.
    pub(in super::super) fn to_wire(&self, now: Instant) -> Option<proto::Write> {
        let (kind, value, ttl) = match &self.kind {
            Kind::Set { value, expires } => {
                let left = expires.checked_duration_since(now).filter(|left| !left.is_zero())?;
                (proto::write::Kind::Set, value.clone(), left)
            }
            Kind::Delete => (proto::write::Kind::Delete, Bytes::new(), Duration::ZERO),
            Kind::Clear => (proto::write::Kind::Clear, Bytes::new(), Duration::ZERO),
        };
        Some(proto::Write {
            group: self.group.to_string(),
            kind: kind.into(),
            key: self.key.to_string(),
            value,
            ttl_ms: millis(ttl),
            version: Some(self.version.into()),
        })
    }
}

/// Counts down as peers acknowledge a delete.
pub(in super::super) struct Settle {
    left: AtomicUsize,
    group: Weak<dyn Served>,
}

impl Settle {
    pub(in super::super) fn new(peers: usize, group: Weak<dyn Served>) -> Self {
        Self { left: AtomicUsize::new(peers), group }
    }

    pub(super) fn acknowledged(&self, op: &Op) {
        if self.left.fetch_sub(1, AcqRel) == 1
            && let Some(group) = self.group.upgrade()
        {
            group.settle(&op.key, op.version);
        }
    }
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settle").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Whole milliseconds, at least one of what is not nothing.
pub(in super::super) fn millis(time: Duration) -> u64 {
    let floor = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if floor == 0 && !time.is_zero() { 1 } else { floor }
}

impl From<Version> for proto::Version {
    fn from(version: Version) -> Self {
        Self { time: version.time, node: version.node }
    }
}

impl From<proto::Version> for Version {
    fn from(version: proto::Version) -> Self {
        Self { time: version.time, node: version.node }
    }
}
