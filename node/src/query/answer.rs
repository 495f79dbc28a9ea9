//! What comes back of a query.

use bytes::Bytes;

use serde::Serialize;

use crate::{model::Revision, store::StoreError};

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The store failed.
    #[error("the store could not be read")]
    Storage(#[source] StoreError),
    /// The read was dropped before it ended, because it panicked or the process is stopping.
    #[error("the read of the store was abandoned")]
    Abandoned,
    /// Memberships were rewritten faster than they could be read along with the rows.
    #[error("the memberships keep changing")]
    Unsettled,
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

/// How the cache does, in the words of `/stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Subjects held, unknown ones among them.
    pub entries: u64,
    /// Bytes of everything held.
    pub bytes: u64,
    /// The most it may hold.
    pub max_bytes: u64,
    /// Requests for which no storage was read.
    pub hits: u64,
    /// Requests for which storage was read.
    pub misses: u64,
    /// Hits of all requests, in per cent; 0 where there were none.
    pub hit_rate: f64,
    /// Misses that found some of what they needed.
    pub partial_hits: u64,
    /// Entries that had to make room.
    pub evictions: u64,
    /// Entries found past their time.
    pub expired: u64,
    /// Reads that a write overtook, so that they were not remembered.
    pub rejected_stale: u64,
    /// Subjects of which everything asked was known.
    pub subject_hits: u64,
    /// Subjects of which something had to be read.
    pub subject_misses: u64,
}
