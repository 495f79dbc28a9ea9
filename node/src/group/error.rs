//! What can go wrong for a caller.

use std::{sync::Arc, time::Duration};

use super::{codec::CodecError, flights::Lost};

/// Why a call gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is empty or longer than keys may be: the caller's to mend.
    #[error("a key has 1 to {max} bytes, this one has {bytes}")]
    BadKey {
        /// Bytes of this one.
        bytes: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// The value is larger than values may be: the caller's to mend.
    #[error("a value has {max} bytes at the most, this one has {bytes}")]
    TooLarge {
        /// Bytes of this one.
        bytes: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// The value can't be encoded, or what a peer sent can't be decoded.
    #[error("the value does not fit its codec: {0}")]
    Codec(#[from] CodecError),
    /// The loader failed, here or at the key's owner.
    #[error("the loader failed: {0}")]
    Load(Arc<str>),
    /// The loader panicked, or took longer than it may.
    #[error("the loader {0}")]
    Lost(#[from] Lost),
    /// The group takes no values from outside: deletes alone.
    #[error("{0}")]
    TakesNone(&'static str),
    /// The key's owner refused the question; trying again may help.
    #[error("{peer} refused: {reason}")]
    Refused {
        /// Address of the owner.
        peer: Arc<str>,
        /// What it said.
        reason: Arc<str>,
    },
}

/// Bytes a key may have.
pub const MAX_KEY: usize = 1024;
/// Bytes an encoded value may have: with room for the rest of a message, what gRPC takes at once.
pub const MAX_VALUE: usize = 3 << 20;

/// Longest life anything is given: ten years.
pub(super) const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        1..=MAX_KEY => Ok(()),
        bytes => Err(Error::BadKey { bytes, max: MAX_KEY }),
    }
}
