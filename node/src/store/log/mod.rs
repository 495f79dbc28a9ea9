//! The change log: what every commit changed, kept in the file itself for those who follow.
//!
//! # Form
//!
//! A commit is logged in its own transaction, as the rows it leaves behind (whole rows, by key), not
//! as the statements that made them: a follower need not run the same program, does no more than
//! write rows, and ends equal whatever it had. SQLite's session extension would log the same
//! generically, but its hooks need bindings made at build time by libclang, and it knows neither
//! new columns nor tables with nulls in their keys. Rows of `finance_data` and tags are noted by the
//! update hook as they are written, so no statement can be forgotten, and read back once before the
//! commit; subjects come from the notes that the caches get anyway; data management logs the save.
//!
//! # Chain
//!
//! A logged commit names the nonce of the commit before it. Whoever follows asks by revision and
//! nonce; a log that was cut, has a gap, or tells another history has no entry that fits, and the
//! follower starts from a copy instead.
//!
//! # Bounds
//!
//! Bytes, commits and age, whichever is reached first; a commit larger than the log is not logged.
//! Parts of 256 KiB bound the memory of whoever reads.

mod account;
mod apply;
mod bytes;
mod capture;
mod ops;
mod read;

use std::time::Duration;

pub use self::read::{Cursor, LogRead};
pub(super) use self::{
    account::{Account, wall_clock},
    apply::{Applied, apply},
    capture::{Commit, Notes, series_gone, series_saved, tag_added},
    read::{nonce_of, read},
};
use crate::model::Revision;

/// How much of the past is kept for those who follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of logged rows; 0 keeps no log.
    pub bytes: u64,
    /// Commits.
    pub commits: u64,
    /// Since the oldest commit.
    pub age: Duration,
}

impl Default for LogLimits {
    /// 256 MiB, a million commits, one day.
    fn default() -> Self {
        Self { bytes: 256 << 20, commits: 1_000_000, age: Duration::from_secs(86_400) }
    }
}

/// A commit, or a part of a large one, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first revision of the commit.
    pub first: Revision,
    /// The last; writes that waited together are one commit.
    pub last: Revision,
    /// Which part, from 0.
    pub part: u16,
    /// Whether it is the last part.
    pub ends: bool,
    /// Nonce of the commit before.
    pub before: i64,
    /// Nonce of this one.
    pub nonce: i64,
    /// When it was made, in milliseconds since 1970 by the master's clock.
    pub at: u64,
    /// What it changed.
    pub ops: Vec<u8>,
}

/// The last revision that a key can hold: no store gets so far.
const LAST: Revision = i64::MAX.cast_unsigned() >> 16;

/// The key of a part: parts of a commit lie together, commits in order. After [`LAST`] nothing is.
fn key(first: Revision, part: u16) -> i64 {
    if first > LAST {
        return i64::MAX;
    }
    first.cast_signed() << 16 | i64::from(part)
}
