//! The configuration of a group server: read from a file, checked once, infallible after that.

mod check;
mod raw;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kamaitachi_discovery::{NodeAddr, allow::Allow, etcd};
use kamaitachi_serve::{
    config::{ConfigError, Env, load_checked},
    logs::LogFormat,
};
use secrecy::SecretString;

use super::{HotKeys, PeerOptions, Strategy};

/// Everything a group server is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Name under which it is registered and looked for.
    pub service: String,
    /// Address under which others reach it; `None` is the one it listens on.
    pub service_addr: Option<NodeAddr>,
    /// Threads that serve; `None` is one for each core.
    pub workers: Option<usize>,
    /// How long requests under way may take at a stop.
    pub drain: Duration,
    /// Where metrics and health are told, if they are.
    pub admin: Option<SocketAddr>,
    /// The groups it holds.
    pub names: Vec<String>,
    /// What each group holds.
    pub group: GroupSettings,
    /// Where writes go.
    pub strategy: Arc<dyn Strategy>,
    /// How peers are called. Its token and TLS come with [`Security`].
    pub peers: PeerOptions,
    /// Who the peers are, without etcd.
    pub nodes: Vec<NodeAddr>,
    /// Which addresses from etcd are believed.
    pub allow: Allow,
    /// Where etcd is, if it is used.
    pub etcd: Option<etcd::Settings>,
    /// Who may call.
    pub security: Security,
    /// A level, or a filter in the syntax of `RUST_LOG`.
    pub log_level: String,
    /// How the lines of the log look.
    pub log_format: LogFormat,
}

/// What each group of a server holds.
#[derive(Clone, Copy, Debug)]
pub struct GroupSettings {
    /// Bytes at the most.
    pub max_bytes: usize,
    /// Life of an entry.
    pub ttl: Duration,
    /// Part by which a life is shortened at random.
    pub jitter: f64,
    /// Copies of hot keys.
    pub hot: HotKeys,
    /// Tombstones at the most.
    pub tombstones: usize,
    /// Life of a tombstone at the most.
    pub tombstone_ttl: Duration,
    /// How far ahead of the own clock others' clocks are followed.
    pub max_skew: Duration,
}

/// Who may call, and how connections are secured.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// The secret that all peers and clients share.
    pub token: Option<SecretString>,
    /// Certificates, where connections are encrypted, and both sides show theirs.
    pub tls: Option<TlsFiles>,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that all peers' and clients' are signed with.
    pub ca: PathBuf,
    /// Our own certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The name in the peers' certificates, where it is not the host of their addresses.
    pub domain: Option<String>,
}

impl Config {
    /// Reads and checks a file, with the overrides of the environment; without a file, defaults
    /// and environment alone.
    ///
    /// # Errors
    /// The file can't be read, or has mistakes: all of them are named.
    pub fn load(path: Option<&Path>, env: &Env) -> Result<Self, ConfigError> {
        load_checked(path, env, |raw, mistakes| check::config(raw, env, mistakes))
    }
}
