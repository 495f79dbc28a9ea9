//! Registrations as etcd holds them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{NodeAddr, allow::Refusal};

/// Bytes of a key that a log shows.
const SHOWN: usize = 80;

/// A key of the service, without the service's prefix, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The address, as part of the key.
    pub key: &'a [u8],
    /// The address, as the value.
    pub value: &'a [u8],
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// It was written.
    Put {
        /// Which key, and what to.
        entry: Entry<'a>,
        /// At which revision.
        revision: i64,
    },
    /// It was deleted, or its lease has ended. The value is not told.
    Delete {
        /// Which key, without the service's prefix.
        key: &'a [u8],
        /// Whether it was bound to a lease, and so may have gone with it.
        leased: bool,
        /// At which revision.
        revision: i64,
    },
}

impl Change<'_> {
    /// When it happened.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        match self {
            Self::Put { revision, .. } | Self::Delete { revision, .. } => *revision,
        }
    }
}

/// The address that is registered.
///
/// # Errors
/// The key is no address, or the value is another one.
pub fn read(entry: &Entry<'_>) -> Result<NodeAddr, Refusal> {
    let addr = address(entry.key).ok_or(Refusal::NoAddress)?;
    if entry.value == entry.key { Ok(addr) } else { Err(Refusal::NotItsKey) }
}

/// The address that a key names. Blanks around it are not tolerated: the text is the node's place on the ring.
pub(super) fn address(key: &[u8]) -> Option<NodeAddr> {
    let text = std::str::from_utf8(key).ok()?;
    text.parse::<NodeAddr>().ok().filter(|addr| addr.as_str() == text)
}

impl Entry<'_> {
    /// Tells refusals apart. Two that can't be told apart are logged once.
    pub(super) fn hash_with(&self, why: &Refusal) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.key, std::mem::discriminant(why)).hash(&mut hasher);
        hasher.finish()
    }

    /// The key, for a log: bounded, and without anything that a terminal would act on.
    pub(super) fn shown(&self) -> String {
        let cut = &self.key[..self.key.len().min(SHOWN)];
        let more = if cut.len() < self.key.len() { "…" } else { "" };
        format!("{}{more}", cut.escape_ascii())
    }
}
