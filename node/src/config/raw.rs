//! The configuration as files write it: sections, keys, defaults.

use std::path::PathBuf;

use kamaitachi_discovery::config::RawEtcd;
use kamaitachi_policies::ring::DEFAULT_REPLICAS;
use kamaitachi_serve::{
    config::{List, Millis, Minutes, Seconds, Secret, Size, Span},
    limits,
    logs::LogFormat,
};
use serde::{Deserialize, Serialize};

use crate::{
    replication,
    store::{LogLimits, MAX_ROWS},
};

/// Everything a file can say.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) database: Database,
    pub(super) cache: Cache,
    pub(super) replication: Replication,
    pub(super) etcd: RawEtcd,
    pub(super) peers: Peers,
    pub(super) limits: Limits,
    pub(super) query: Query,
    pub(super) log: Log,
}

/// Who this node is and where it listens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) mode: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) service_name: Option<String>,
    pub(super) service_addr: Option<String>,
    pub(super) workers: usize,
    pub(super) drain_seconds: Seconds,
    pub(super) leave_wait: Millis,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            mode: "master".into(),
            host: "127.0.0.1".into(),
            port: None,
            service_name: None,
            service_addr: None,
            workers: 0,
            drain_seconds: Seconds::of(30),
            leave_wait: Millis::of(1_000),
        }
    }
}

/// The SQLite file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Database {
    pub(super) path: Option<PathBuf>,
    pub(super) sync: Option<String>,
    pub(super) readers: usize,
    pub(super) start_check: Millis,
}

impl Default for Database {
    fn default() -> Self {
        Self { path: None, sync: None, readers: 0, start_check: Millis::of(300) }
    }
}

/// What is kept in memory, and the files it is saved to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Cache {
    pub(super) max_bytes: Size,
    pub(super) ttl: Seconds,
    pub(super) snapshot_path: Option<PathBuf>,
    pub(super) snapshot_interval: Minutes,
    pub(super) snapshot_keep: usize,
    pub(super) snapshot_compression: String,
    pub(super) snapshot_key: Option<Secret>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: Size(1 << 30),
            ttl: Seconds::of(3600),
            snapshot_path: None,
            snapshot_interval: Minutes::of(10),
            snapshot_keep: 3,
            snapshot_compression: "none".into(),
            snapshot_key: None,
        }
    }
}

/// Where writes go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Replication {
    pub(super) master: String,
    pub(super) wait: Millis,
    pub(super) token: Option<Secret>,
    pub(super) timeout: Millis,
    pub(super) retry_max: Millis,
    pub(super) log_bytes: Size,
    pub(super) log_commits: u64,
    pub(super) log_age: Seconds,
}

impl Default for Replication {
    fn default() -> Self {
        let (log, settings) = (LogLimits::default(), replication::Settings::default());
        Self {
            master: String::new(),
            wait: Millis::of(1_000),
            token: None,
            timeout: Span(settings.timeout),
            retry_max: Span(settings.retry_max),
            log_bytes: Size(log.bytes),
            log_commits: log.commits,
            log_age: Span(log.age),
        }
    }
}

/// The other nodes of the ring.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Peers {
    pub(super) nodes: List,
    pub(super) service_name: String,
    pub(super) group: bool,
    pub(super) replicas: u16,
    pub(super) spread: String,
    pub(super) hand_over_bytes: Size,
    pub(super) hand_over_time: Millis,
    pub(super) token: Option<Secret>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            nodes: List::default(),
            service_name: String::new(),
            group: true,
            replicas: DEFAULT_REPLICAS.get(),
            spread: "plain".into(),
            hand_over_bytes: Size(64 << 20),
            hand_over_time: Millis::of(2_000),
            token: None,
        }
    }
}

/// What one client may take of the node, and what a request may cost.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) body: Size,
    pub(super) ingest_body: Size,
    pub(super) nesting: u8,
    pub(super) subjects: usize,
    pub(super) name: usize,
    pub(super) rows: usize,
    pub(super) handler_timeout: Millis,
    pub(super) memory: Size,
    pub(super) connections: usize,
    pub(super) connections_per_ip: usize,
    pub(super) head_timeout: Millis,
    pub(super) body_timeout: Millis,
    pub(super) body_rate: Size,
    pub(super) idle_timeout: Millis,
    pub(super) write_timeout: Millis,
    pub(super) head_bytes: Size,
    pub(super) headers: usize,
    pub(super) target_bytes: Size,
    pub(super) http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let server = limits::Limits::default();
        Self {
            body: Size(1 << 20),
            ingest_body: Size(256 << 20),
            nesting: 64,
            subjects: 10_000,
            name: 256,
            rows: MAX_ROWS,
            handler_timeout: Millis::of(30_000),
            memory: Size(0),
            connections: server.connections,
            connections_per_ip: server.connections_per_ip,
            head_timeout: Span(server.head_timeout),
            body_timeout: Span(server.body_timeout),
            body_rate: Size(server.body_rate),
            idle_timeout: Span(server.idle_timeout),
            write_timeout: Span(server.write_timeout),
            // A gateway adds fields of its own to what it took within limits of its own.
            head_bytes: Size(server.head_bytes as u64 + (8 << 10)),
            headers: server.headers + 28,
            target_bytes: Size(server.target_bytes as u64),
            http2_streams: server.http2.concurrent_streams,
        }
    }
}

impl Limits {
    /// How clients are held where nothing else is said: as by default, but for what gateways add to heads.
    pub(super) fn connections(&self) -> limits::Limits {
        let (head_bytes, headers) = (self.head_bytes.as_usize(), self.headers);
        limits::Limits { head_bytes, headers, ..limits::Limits::default() }
    }
}

/// What a request that does not say gets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Query {
    pub(super) default_ids: List,
    pub(super) default_field: String,
    pub(super) default_limit: usize,
    pub(super) max_limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        let ids = ["operating_income", "parent_holder_net_profit"];
        Self {
            default_ids: List(ids.map(str::to_owned).to_vec()),
            default_field: "operating_income".into(),
            default_limit: 10,
            max_limit: 10_000,
        }
    }
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
