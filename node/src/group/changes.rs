//! Changes at one peer, told as they happen.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::version::Version;

/// Changes remembered for a reader that is slow.
const BACKLOG: usize = 1024;

/// Something changed at this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// To which key; empty for a clear.
    pub key: Arc<str>,
    /// The value set, encoded, where the group has peers.
    pub value: Option<Bytes>,
    /// Of the write; none for expiry and eviction.
    pub version: Option<Version>,
    /// Whether a peer's write did it.
    pub from_peer: bool,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A value was set.
    Set,
    /// It was deleted.
    Deleted,
    /// Everything was.
    Cleared,
    /// Its time was over (told when that is noticed).
    Expired,
    /// Room was needed.
    Evicted,
}

/// A stream of changes, from the moment it was asked for.
#[derive(Debug)]
pub struct Changes(pub(crate) broadcast::Receiver<Change>);

/// A reader was too slow: this many changes are lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} changes were missed")]
pub struct Missed(pub u64);

impl Changes {
    /// The next change; `None` when the group is gone. Cancel safe.
    ///
    /// # Errors
    /// The reader was too slow. The next call goes on with what is left.
    pub async fn next(&mut self) -> Option<Result<Change, Missed>> {
        match self.0.recv().await {
            Ok(change) => Some(Ok(change)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(Missed(missed))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Tells changes to whoever listens; nothing is made where nobody does.
#[derive(Clone, Debug)]
pub(crate) struct Teller(broadcast::Sender<Change>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Teller {
    pub(crate) fn listen(&self) -> Changes {
        Changes(self.0.subscribe())
    }

    pub(crate) fn tell(&self, change: impl FnOnce() -> Change) {
        if self.0.receiver_count() != 0 {
            // Whoever listened may have gone just now.
            let _ = self.0.send(change());
        }
    }
}
