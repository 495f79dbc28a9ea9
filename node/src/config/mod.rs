//! The configuration of a node: read from a file, checked once, infallible after that.

mod check;
mod raw;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use kamaitachi_serve::{
    config::{ConfigError, Env, load_checked},
    logs::LogFormat,
};

use crate::{
    api::request::Rules,
    cache::snapshot::SnapshotOptions,
    hand_over,
    replication::Settings,
    store::{Durability, LogLimits},
    subjects,
};

/// Everything a node is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Who this node is and where it listens.
    pub server: Server,
    /// Where it registers itself; `None` = nowhere.
    pub etcd: Option<kamaitachi_discovery::etcd::Settings>,
    /// The SQLite file.
    pub database: Database,
    /// What is kept in memory, and the files it is saved to.
    pub cache: Cache,
    /// How nodes replicate, and how much of the past a master keeps for that.
    pub replication: Settings,
    /// The bounds of the change log.
    pub log_limits: LogLimits,
    /// What a request may cost.
    pub limits: Limits,
    /// What one client may take of the server.
    pub connections: kamaitachi_serve::limits::Limits,
    /// The numbers behind the rules of requests.
    pub rules: Rules,
    /// The nodes it hands over to and takes over from; `None` is none.
    pub peers: Option<hand_over::Settings>,
    /// The nodes with which it is in the group of the subjects; `None` is none.
    pub subjects: Option<subjects::Settings>,
    /// What is logged, and how.
    pub log: Log,
}

impl Config {
    /// Reads and checks a file, with the overrides of the environment; without a file, defaults
    /// and environment alone. `database` stands in for the file's `[database] path`.
    ///
    /// # Errors
    /// The file can't be read, or has mistakes: all of them are named.
    pub fn load(
        path: Option<&Path>,
        database: Option<PathBuf>,
        env: &Env,
    ) -> Result<Self, ConfigError> {
        load_checked(path, env, |mut raw: raw::Raw, mistakes| {
            if database.is_some() {
                raw.database.path = database;
            }
            check::config(raw, env, mistakes)
        })
    }

    /// The defaults for a node in this process, on any free port of the loopback address.
    #[must_use]
    pub fn embedded(role: Role, database: impl Into<PathBuf>) -> Self {
        let raw = raw::Raw::default();
        let path = database.into();
        Self {
            server: Server {
                host: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 0,
                service_name: role.service_name().to_owned(),
                service_addr: None,
                workers: None,
                drain: raw.server.drain_seconds.into(),
                leave_wait: raw.server.leave_wait.into(),
                role,
            },
            cache: Cache {
                max_bytes: raw.cache.max_bytes.as_usize(),
                ttl: raw.cache.ttl.into(),
                snapshots: Snapshots {
                    files: SnapshotOptions {
                        dir: snapshots_beside(&path),
                        keep: raw.cache.snapshot_keep,
                        compress: false,
                        key: None,
                    },
                    interval: Some(raw.cache.snapshot_interval.into()),
                },
            },
            etcd: None,
            database: Database {
                path,
                durability: Durability::Full,
                readers: None,
                start_check: raw.database.start_check.into(),
            },
            replication: Settings::default(),
            log_limits: LogLimits::default(),
            limits: Limits {
                body: raw.limits.body.0,
                ingest_body: raw.limits.ingest_body.0,
                rows: raw.limits.rows,
                handler: raw.limits.handler_timeout.into(),
                memory: None,
                revision_wait: raw.replication.wait.into(),
            },
            connections: raw.limits.connections(),
            rules: Rules::default(),
            peers: None,
            subjects: None,
            log: Log { level: raw.log.level, format: raw.log.format },
        }
    }
}

/// Who a node is and where it listens.
#[derive(Clone, Debug)]
pub struct Server {
    /// Whether it takes writes.
    pub role: Role,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes any that is free.
    pub port: u16,
    /// Name under which it is known to others, such as `kamaitachi-slave`.
    pub service_name: String,
    /// Address under which others reach it; `None` is the address it listens on.
    pub service_addr: Option<String>,
    /// Threads that serve; `None` is one for each core.
    pub workers: Option<usize>,
    /// How long requests under way may take at a stop.
    pub drain: Duration,
    /// How long a node that has just deregistered itself goes on accepting, until word of it has gone round.
    pub leave_wait: Duration,
}

/// Whether a node takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes writes.
    Master,
    /// Answers queries from its own file.
    Slave {
        /// Address of the master, told to whoever wants to write; `None` is not configured.
        master: Option<String>,
    },
}

impl Role {
    /// The word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Slave { .. } => "slave",
        }
    }

    /// The name under which nodes of this role are found unless told otherwise.
    const fn service_name(&self) -> &'static str {
        match self {
            Self::Master => "kamaitachi-master",
            Self::Slave { .. } => "kamaitachi-slave",
        }
    }
}

/// The SQLite file of a node.
#[derive(Clone, Debug)]
pub struct Database {
    /// The file; made, with its directory, where it does not exist.
    pub path: PathBuf,
    /// When an acknowledged write is on the disk itself.
    pub durability: Durability,
    /// Threads that read; `None` leaves it to the store.
    pub readers: Option<NonZeroUsize>,
    /// How long its pages are looked over before it is used.
    pub start_check: Duration,
}

/// What a node keeps in memory.
#[derive(Debug)]
pub struct Cache {
    /// The most it may hold, in bytes.
    pub max_bytes: usize,
    /// How long an entry lives.
    pub ttl: Duration,
    /// How it is saved.
    pub snapshots: Snapshots,
}

/// How a cache is saved.
#[derive(Debug)]
pub struct Snapshots {
    /// The files.
    pub files: SnapshotOptions,
    /// How often one is written; `None` only at a stop and on demand.
    pub interval: Option<Duration>,
}

/// What a request may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body: u64,
    /// Bytes of a bulk body, as sent and as unpacked.
    pub ingest_body: u64,
    /// Rows of an answer, and of a read for it.
    pub rows: usize,
    /// How long an answer may take.
    pub handler: Duration,
    /// Bytes that the process may hold; `None` is what its control group allows.
    pub memory: Option<u64>,
    /// How long a request waits for the revision it asks for.
    pub revision_wait: Duration,
}

/// What is logged, and how. A process has one log: only the binary reads this.
#[derive(Clone, Debug)]
pub struct Log {
    /// A level, or a filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// How the lines look.
    pub format: LogFormat,
}

/// Where snapshots go unless told otherwise: beside the database, so that no two nodes share a
/// directory by accident.
fn snapshots_beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".snapshots");
    name.into()
}
