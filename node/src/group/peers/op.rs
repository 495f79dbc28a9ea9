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
pub(crate) struct Op {
    pub(crate) group: Arc<str>,
    /// Empty for a clear.
    pub(crate) key: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    /// Of a delete: what is to happen when every peer has it.
    pub(crate) settle: Option<Settle>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Set {
        value: Bytes,
        expires: Instant,
    },
    /// With the write to a store that it follows from, where it does.
    Delete {
        mark: Option<proto::Mark>,
    },
    Clear,
}

impl Op {
    /// Bytes it counts in a queue.
    pub(super) fn cost(&self) -> usize {
        let value = match &self.kind {
            Kind::Set { value, .. } => value.len(),
            Kind::Delete { mark } => mark.as_ref().map_or(0, |mark| mark.lineage.len()),
            Kind::Clear => 0,
        };
        OVERHEAD + self.key.len() + value
    }

    /// The write as it is sent; `None` when its time is over.
    pub(in super::super) fn to_wire(&self, now: Instant) -> Option<proto::Write> {
        let mut mark = None;
        let (kind, value, ttl) = match &self.kind {
            Kind::Set { value, expires } => {
                let left = expires.checked_duration_since(now).filter(|left| !left.is_zero())?;
                (proto::write::Kind::Set, value.clone(), left)
            }
            Kind::Delete { mark: of } => {
                mark.clone_from(of);
                (proto::write::Kind::Delete, Bytes::new(), Duration::ZERO)
            }
            Kind::Clear => (proto::write::Kind::Clear, Bytes::new(), Duration::ZERO),
        };
        Some(proto::Write {
            group: self.group.to_string(),
            kind: kind.into(),
            key: self.key.to_string(),
            value,
            ttl_ms: millis(ttl),
            version: Some(self.version.into()),
            mark,
        })
    }
}

/// Counts down as peers acknowledge a delete.
pub(crate) struct Settle {
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
pub(crate) fn millis(time: Duration) -> u64 {
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
