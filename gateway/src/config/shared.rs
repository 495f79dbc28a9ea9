//! `[cache]`, `[database]` and `[replication]`: sections of the nodes, for files and environments that all processes
//! share.
//!
//! The keys that every process knows are read here too, so that a wrong one is told by whichever process meets it; the
//! gateway has no use for their values.

use kamaitachi_serve::config::{Minutes, Seconds, Size};
use serde::Deserialize;

/// `[cache]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawCache {
    /// The most that a node's cache may hold.
    pub max_bytes: Size,
    /// How long an entry lives.
    pub ttl: Seconds,
    /// Directory of the snapshot files.
    pub snapshot_path: String,
    /// Time between snapshots.
    pub snapshot_interval: Minutes,
    /// How many are kept.
    pub snapshot_keep: u32,
}

/// `[database]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawDatabase {
    /// A node's SQLite file.
    pub path: String,
    /// When its writes are on disk.
    pub sync: String,
}

/// `[replication]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawReplication {
    /// Address of the master that a slave follows.
    pub master: String,
}
