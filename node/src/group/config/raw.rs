//! The configuration of a group server as files write it: sections, keys, defaults.

use std::path::PathBuf;

use kamaitachi_discovery::allow::DEFAULT_CIDRS;
use kamaitachi_serve::{
    config::{List, Millis, Seconds, Secret, Size},
    logs::LogFormat,
};
use serde::{Deserialize, Serialize};

/// Everything a file can say.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) group: Group,
    pub(super) sync: Sync,
    pub(super) peers: Peers,
    pub(super) etcd: Etcd,
    pub(super) security: Security,
    pub(super) log: Log,
}

/// Where it listens, and the name under which it is found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) service_name: String,
    pub(super) service_addr: Option<String>,
    pub(super) workers: usize,
    pub(super) drain_seconds: Seconds,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8001,
            service_name: "kamaitachi-cache".into(),
            service_addr: None,
            workers: 0,
            drain_seconds: Seconds::of(30),
        }
    }
}

/// Metrics and health over HTTP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Admin {
    pub(super) enabled: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Default for Admin {
    fn default() -> Self {
        Self { enabled: true, host: "127.0.0.1".into(), port: 9902 }
    }
}

/// The groups, and what each holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) names: List,
    pub(super) max_bytes: Size,
    pub(super) ttl: Seconds,
    pub(super) jitter: f64,
    pub(super) hot_bytes: Size,
    pub(super) hot_rate: u32,
    pub(super) hot_ttl: Seconds,
    pub(super) tombstones: usize,
    pub(super) tombstone_ttl: Seconds,
    pub(super) max_skew: Millis,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            names: List(vec!["default".into()]),
            max_bytes: Size(64 << 20),
            ttl: Seconds::of(3600),
            jitter: 0.1,
            hot_bytes: Size(8 << 20),
            hot_rate: 10,
            hot_ttl: Seconds::of(5),
            tombstones: 100_000,
            tombstone_ttl: Seconds::of(600),
            max_skew: Millis::of(60_000),
        }
    }
}

/// Where writes go, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Sync {
    pub(super) strategy: String,
    pub(super) peers: List,
    pub(super) successors: u8,
    pub(super) shards: List,
    pub(super) timeout: Millis,
    pub(super) back_off: Millis,
    pub(super) back_off_most: Millis,
    pub(super) batch: usize,
    pub(super) queue_entries: usize,
    pub(super) queue_bytes: Size,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            strategy: "broadcast".into(),
            peers: List::default(),
            successors: 1,
            shards: List::default(),
            timeout: Millis::of(2000),
            back_off: Millis::of(50),
            back_off_most: Millis::of(5000),
            batch: 512,
            queue_entries: 10_000,
            queue_bytes: Size(8 << 20),
        }
    }
}

/// Who the peers are without etcd, and how they are called.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Peers {
    pub(super) nodes: List,
    pub(super) allowed_cidrs: List,
    pub(super) replicas: u16,
    pub(super) connect_timeout: Millis,
    pub(super) get_timeout: Millis,
    pub(super) ping_interval: Millis,
    pub(super) eject_after: u32,
    pub(super) keep_alive: Millis,
    pub(super) keep_alive_timeout: Millis,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            nodes: List::default(),
            allowed_cidrs: List(DEFAULT_CIDRS.map(str::to_owned).to_vec()),
            replicas: 150,
            connect_timeout: Millis::of(1000),
            get_timeout: Millis::of(2000),
            ping_interval: Millis::of(1000),
            eject_after: 3,
            keep_alive: Millis::of(10_000),
            keep_alive_timeout: Millis::of(5000),
        }
    }
}

/// Where etcd is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Etcd {
    pub(super) endpoints: List,
    pub(super) prefix: String,
    pub(super) ttl: Seconds,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            endpoints: List::default(),
            prefix: "/services".into(),
            ttl: Seconds::of(10),
            user: String::new(),
            password: None,
            ca: None,
            cert: None,
            key: None,
        }
    }
}

/// Who may call.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Security {
    pub(super) token: Option<Secret>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) domain: String,
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Log {
    pub(super) level: String,
    pub(super) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}
