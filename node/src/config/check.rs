//! From what a file says to what a node can work with; every mistake is noted.

use std::{
    net::IpAddr,
    num::{NonZeroU16, NonZeroUsize},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use kamaitachi_discovery::{Found, NodeAddr};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Spread};
use kamaitachi_serve::{
    config::{Env, Millis, Mistakes, Secret, Section, Size},
    limits, logs,
};
use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::{Cache, Config, Database, Limits, Log, Role, Server, Snapshots, raw, snapshots_beside};
use crate::{
    api::{json, request::Rules},
    cache::snapshot::SnapshotOptions,
    hand_over,
    replication::Settings,
    store::{Durability, LogLimits},
    subjects,
};

/// Ten years: longer is a slip of the unit.
const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) fn config(raw: raw::Raw, env: &Env, mistakes: &mut Mistakes) -> Config {
    let role = role(&raw, mistakes);
    let etcd = raw.etcd.check(env, mistakes);
    let database = database(raw.database, &role, &mut mistakes.section("database"));
    let cache = cache(raw.cache, &database, env, &mut mistakes.section("cache"));
    let rules = rules(&raw.limits, raw.query, mistakes);
    let limits = limits(&raw.limits, raw.replication.wait, mistakes);
    mistakes.section("log").take("level", logs::check(&raw.log.level));
    let server = server(raw.server, role, &mut mistakes.section("server"));
    let found = etcd.is_some() || !raw.peers.nodes.0.is_empty();
    let (peers, subjects) = peers(&raw.peers, &server, env, &mut mistakes.section("peers"));
    let (peers, subjects) = (peers.filter(|_| found), subjects.filter(|_| found));
    mistakes.section("server").require(
        "service_addr",
        etcd.is_none() || server.service_addr.is_some() || !server.host.is_unspecified(),
        "must say under which address others reach this node: it listens on all of them and \
         registers one in etcd",
    );
    Config {
        server,
        etcd,
        database,
        cache,
        log_limits: LogLimits {
            bytes: raw.replication.log_bytes.0,
            commits: raw.replication.log_commits,
            age: raw.replication.log_age.into(),
        },
        replication: replication(raw.replication, env, &mut mistakes.section("replication")),
        limits,
        connections: connections(&raw.limits, &mut mistakes.section("limits")),
        rules,
        peers,
        subjects,
        log: Log { level: raw.log.level, format: raw.log.format },
    }
}

/// What there is to hand over, which is among slaves alone, and the group of them and their master.
fn peers(
    raw: &raw::Peers,
    server: &Server,
    env: &Env,
    section: &mut Section<'_>,
) -> (Option<hand_over::Settings>, Option<subjects::Settings>) {
    let mut nodes = Vec::new();
    for node in &raw.nodes.0 {
        nodes.extend(section.take("nodes", node.parse::<NodeAddr>()));
    }
    let nodes = Found::fixed(nodes);
    let slave = matches!(server.role, Role::Slave { .. });
    let service = match raw.service_name.trim() {
        "" if slave => server.service_name.clone(),
        "" => Role::Slave { master: None }.service_name().to_owned(),
        name => {
            require_name(section, name);
            name.to_owned()
        }
    };
    let replicas = section.within("replicas", raw.replicas, 1..=10_000);
    let spread = match raw.spread.trim() {
        "plain" => Spread::Plain,
        "mixed" => Spread::Mixed,
        other => {
            section.add("spread", format_args!("expected `plain` or `mixed`, found {other:?}"));
            Spread::Plain
        }
    };
    let token = raw.token.as_ref().and_then(|secret| {
        section.take("token", secret.reveal(env).map_err(|error| error.to_string()))
    });
    let visible =
        |token: &SecretString| token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
    section.require(
        "token",
        token.as_ref().is_none_or(visible),
        "must be of visible ASCII characters",
    );
    let minute = Duration::from_secs(60);
    let settings = hand_over::Settings {
        service: service.clone(),
        replicas: NonZeroU16::new(replicas).unwrap_or(DEFAULT_REPLICAS),
        spread,
        max_bytes: section
            .within("hand_over_bytes", raw.hand_over_bytes, Size(1 << 10)..=Size(1 << 30))
            .as_usize(),
        time: span(section, "hand_over_time", raw.hand_over_time.into(), Duration::ZERO, minute),
        token: token.clone(),
        nodes: nodes.clone(),
    };
    let subjects = subjects::Settings { nodes, service, token };
    (slave.then_some(settings), raw.group.then_some(subjects))
}

fn replication(raw: raw::Replication, env: &Env, section: &mut Section<'_>) -> Settings {
    const TIMES: RangeInclusive<Millis> = Millis::of(100)..=Millis::of(600_000);
    let token = raw.token.and_then(|token| {
        section.take("token", token.reveal(env).map_err(|error| error.to_string()))
    });
    Settings {
        token,
        timeout: section.within("timeout", raw.timeout, TIMES).0,
        retry_max: section.within("retry_max", raw.retry_max, TIMES).0,
    }
}

fn role(raw: &raw::Raw, mistakes: &mut Mistakes) -> Role {
    let master = raw.replication.master.trim();
    let mut replication = mistakes.section("replication");
    let plausible = master.is_empty() || is_address(master);
    replication.require(
        "master",
        plausible,
        format_args!("expected an address such as \"127.0.0.1:8080\", found {master:?}"),
    );
    let mut server = mistakes.section("server");
    match raw.server.mode.trim() {
        "master" => {
            let mut replication = mistakes.section("replication");
            let own = "must be empty on a master, which follows nobody";
            replication.require("master", master.is_empty(), own);
            Role::Master
        }
        "slave" => Role::Slave { master: (!master.is_empty()).then(|| master.to_owned()) },
        "gateway" => {
            server.add(
                "mode",
                "`gateway` is the mode of kamaitachi-gateway; a node is `master` or `slave`",
            );
            Role::Master
        }
        other => {
            server.add("mode", format_args!("expected `master` or `slave`, found {other:?}"));
            Role::Master
        }
    }
}

/// A host and a port, as others would dial it.
fn is_address(text: &str) -> bool {
    text.parse::<NodeAddr>().is_ok()
}

/// Whether a service can be found under a name.
fn require_name(section: &mut Section<'_>, name: &str) {
    section.require(
        "service_name",
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'),
        format_args!("expected a name without blanks and slashes, found {name:?}"),
    );
}

fn server(raw: raw::Server, role: Role, section: &mut Section<'_>) -> Server {
    let host = match raw.host.trim() {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        other => other
            .parse::<IpAddr>()
            .map_err(|_| format!("expected an IP address or localhost, found {other:?}")),
    };
    let service_addr = raw.service_addr.map(|addr| addr.trim().to_owned());
    let service_addr = service_addr.filter(|addr| !addr.is_empty());
    if let Some(addr) = &service_addr {
        section.require(
            "service_addr",
            is_address(addr),
            format_args!("expected an address such as \"127.0.0.1:8081\", found {addr:?}"),
        );
    }
    let name = raw.service_name.unwrap_or_else(|| role.service_name().to_owned());
    require_name(section, &name);
    let default_port = match role {
        Role::Master => 8080,
        Role::Slave { .. } => 8081,
    };
    Server {
        host: section.take("host", host).unwrap_or(IpAddr::from([127, 0, 0, 1])),
        port: raw.port.unwrap_or(default_port),
        service_name: name,
        service_addr,
        workers: Some(section.within("workers", raw.workers, 0..=1024)).filter(|n| *n != 0),
        drain: span(section, "drain_seconds", raw.drain_seconds.into(), Duration::ZERO, LONG),
        leave_wait: section
            .within("leave_wait", raw.leave_wait, Millis::of(0)..=Millis::of(60_000))
            .into(),
        role,
    }
}

fn database(raw: raw::Database, role: &Role, section: &mut Section<'_>) -> Database {
    let (path, durability) = match role {
        Role::Master => ("data/master.db", Durability::Full),
        Role::Slave { .. } => ("data/slave.db", Durability::Normal),
    };
    let durability = match raw.sync.as_deref().map(str::trim) {
        None | Some("") => durability,
        Some("full" | "FULL") => Durability::Full,
        Some("normal" | "NORMAL") => Durability::Normal,
        Some(other) => {
            section.add("sync", format_args!("expected `full` or `normal`, found {other:?}"));
            durability
        }
    };
    let given = raw.path.filter(|path| !path.as_os_str().is_empty());
    Database {
        path: given.unwrap_or_else(|| PathBuf::from(path)),
        durability,
        readers: NonZeroUsize::new(section.within("readers", raw.readers, 0..=64)),
        start_check: span(section, "start_check", raw.start_check.into(), Duration::ZERO, LONG),
    }
}

fn cache(raw: raw::Cache, database: &Database, env: &Env, section: &mut Section<'_>) -> Cache {
    let interval = Duration::from(raw.snapshot_interval);
    if !interval.is_zero() {
        span(section, "snapshot_interval", interval, Duration::from_secs(1), LONG);
    }
    let compress = match raw.snapshot_compression.trim() {
        "none" | "" => false,
        "zstd" => true,
        other => {
            let reason = format_args!("expected `none` or `zstd`, found {other:?}").to_string();
            section.add("snapshot_compression", reason);
            false
        }
    };
    let key = raw.snapshot_key.and_then(|secret| section.take("snapshot_key", key(&secret, env)));
    let dir = raw.snapshot_path.filter(|path| !path.as_os_str().is_empty());
    Cache {
        max_bytes: section.within("max_bytes", raw.max_bytes.as_usize(), 1 << 10..=usize::MAX / 2),
        ttl: span(section, "ttl", raw.ttl.into(), Duration::from_secs(1), LONG),
        snapshots: Snapshots {
            files: SnapshotOptions {
                dir: dir.unwrap_or_else(|| snapshots_beside(&database.path)),
                keep: section.within("snapshot_keep", raw.snapshot_keep, 1..=1000),
                compress,
                key,
            },
            interval: (!interval.is_zero()).then_some(interval),
        },
    }
}

fn key(secret: &Secret, env: &Env) -> Result<SecretBox<[u8; 32]>, String> {
    let text = secret.reveal(env).map_err(|error| error.to_string())?;
    let text = text.expose_secret();
    let mut key = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("expected a key of 64 hexadecimal digits (32 bytes)".into());
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
    }
    Ok(SecretBox::new(Box::new(key)))
}

fn limits(raw: &raw::Limits, wait: Millis, mistakes: &mut Mistakes) -> Limits {
    let hour = Duration::from_secs(3600);
    let section = &mut mistakes.section("replication");
    let revision_wait = span(section, "wait", wait.into(), Duration::ZERO, hour);
    let section = &mut mistakes.section("limits");
    let handler = raw.handler_timeout.into();
    Limits {
        body: section.within("body", raw.body, Size(1 << 10)..=Size(1 << 30)).0,
        ingest_body: section
            .within("ingest_body", raw.ingest_body, Size(1 << 10)..=Size(4 << 30))
            .0,
        rows: section.within("rows", raw.rows, 1_000..=1_000_000_000),
        handler: span(section, "handler_timeout", handler, Duration::from_millis(1), LONG),
        memory: memory(raw.memory, section),
        revision_wait,
    }
}

fn memory(Size(bytes): Size, section: &mut Section<'_>) -> Option<u64> {
    const LEAST: u64 = 64 << 20;
    section.require(
        "memory",
        bytes == 0 || bytes >= LEAST,
        format_args!("{bytes} bytes are too few for a node: at least 64MiB, or 0"),
    );
    (bytes != 0).then_some(bytes)
}

fn connections(raw: &raw::Limits, section: &mut Section<'_>) -> limits::Limits {
    const TIMES: RangeInclusive<Millis> = Millis::of(1)..=Millis::of(3_600_000);
    const HEAD: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 20);
    const MANY: RangeInclusive<usize> = 1..=1_000_000;
    let mut limits = limits::Limits {
        connections: section.within("connections", raw.connections, MANY),
        connections_per_ip: section.within("connections_per_ip", raw.connections_per_ip, MANY),
        head_timeout: section.within("head_timeout", raw.head_timeout, TIMES).0,
        body_timeout: section.within("body_timeout", raw.body_timeout, TIMES).0,
        body_rate: section.within("body_rate", raw.body_rate, Size(1)..=Size(1 << 30)).0,
        idle_timeout: section.within("idle_timeout", raw.idle_timeout, TIMES).0,
        write_timeout: section.within("write_timeout", raw.write_timeout, TIMES).0,
        head_bytes: section.within("head_bytes", raw.head_bytes, HEAD).as_usize(),
        headers: section.within("headers", raw.headers, 1..=1_000),
        target_bytes: section.within("target_bytes", raw.target_bytes, HEAD).as_usize(),
        ..limits::Limits::default()
    };
    limits.http2.concurrent_streams =
        section.within("http2_streams", raw.http2_streams, 1..=10_000);
    limits
}

fn rules(limits: &raw::Limits, query: raw::Query, mistakes: &mut Mistakes) -> Rules {
    let mut section = mistakes.section("limits");
    let max_depth = section.within("nesting", limits.nesting, 2..=json::DEEPEST);
    let max_subjects = section.within("subjects", limits.subjects, 1..=1_000_000);
    let max_name = section.within("name", limits.name, 16..=1 << 16);
    let mut section = mistakes.section("query");
    section.require("default_ids", !query.default_ids.0.is_empty(), "must name an indicator");
    section.require("default_field", !query.default_field.is_empty(), "must name a field");
    let max_limit = section.within("max_limit", query.max_limit, 1..=10_000_000);
    Rules {
        max_depth,
        max_subjects,
        max_name,
        max_limit,
        default_limit: section.within("default_limit", query.default_limit, 1..=max_limit),
        default_ids: query.default_ids.0,
        default_field: query.default_field,
    }
}

/// A length of time within bounds, which messages show with units.
fn span(
    section: &mut Section<'_>,
    key: &str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Duration {
    section.require(
        key,
        (low..=high).contains(&value),
        format_args!("{value:?} is outside {low:?} to {} days", high.as_secs() / 86_400),
    );
    value
}
