//! What comes back of a query.

use bytes::Bytes;

use super::SourceError;
use crate::model::Revision;

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The whole body, envelope included: `{"status_code":0,"status_msg":"success","data":…}`.
    pub body: Bytes,
    /// Where it came from.
    pub cache: CacheStatus,
    /// The answer holds every write up to this revision; it may hold newer ones.
    pub revision: Revision,
}

/// Where an answer came from, as `X-Kamaitachi-Cache` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// No storage was read for it.
    Hit,
    /// Some of it was known, the rest was read from storage.
    Partial,
    /// All of it was read from storage.
    Miss,
}

impl CacheStatus {
    /// The word for it in headers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Partial => "partial",
            Self::Miss => "miss",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// The store failed.
    #[error("the store could not be read")]
    Storage(#[source] SourceError),
    /// The read was dropped before it ended, because it panicked or the process is stopping.
    #[error("the read of the store was abandoned")]
    Abandoned,
}
