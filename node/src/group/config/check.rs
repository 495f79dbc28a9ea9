//! From what a file says to what a server can work with; every mistake is noted.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use kamaitachi_discovery::{NodeAddr, allow::Allow, etcd};
use kamaitachi_serve::{
    config::{Env, Millis, Mistakes, Seconds, Secret, Section, Size},
    logs,
};
use secrecy::SecretString;

use super::{Config, GroupSettings, Security, TlsFiles, raw};
use crate::group::{Broadcast, HotKeys, PeerOptions, QueueLimits, ShardGroup, SomePeers, Strategy};

/// Ten years: longer is a slip of the unit.
const LIFE: std::ops::RangeInclusive<Seconds> = Seconds::of(1)..=Seconds::of(315_360_000);
const TIMES: std::ops::RangeInclusive<Millis> = Millis::of(1)..=Millis::of(600_000);

pub(super) fn config(raw: raw::Raw, env: &Env, mistakes: &mut Mistakes) -> Config {
    let options = peers(&raw, raw.server.service_name.trim().to_owned(), mistakes);
    let security = security(raw.security, env, &mut mistakes.section("security"));
    let strategy = strategy(&raw.sync, &mut mistakes.section("sync"));
    let (listen, service_addr) = listen(&raw.server, &security, mistakes);
    mistakes.section("log").take("level", logs::check(&raw.log.level));
    let mut server = mistakes.section("server");
    let name = raw.server.service_name.trim().to_owned();
    server.require(
        "service_name",
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'),
        format_args!("expected a name without blanks and slashes, found {name:?}"),
    );
    let workers = server.within("workers", raw.server.workers, 0..=1024);
    let (nodes, allow) = (nodes(&raw.peers, mistakes), allow(&raw.peers, mistakes));
    Config {
        listen,
        service_addr,
        workers: Some(workers).filter(|workers| *workers != 0),
        drain: raw.server.drain_seconds.into(),
        admin: admin(&raw.admin, mistakes),
        names: names(raw.group.names.0.clone(), mistakes),
        group: group(&raw.group, &mut mistakes.section("group")),
        strategy,
        peers: options,
        service: name,
        nodes,
        allow,
        etcd: etcd(raw.etcd, env, &mut mistakes.section("etcd")),
        security,
        log_level: raw.log.level,
        log_format: raw.log.format,
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text.trim() {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        other => other
            .parse()
            .map_err(|_| format!("expected an IP address or localhost, found {other:?}")),
    }
}

fn listen(
    raw: &raw::Server,
    security: &Security,
    mistakes: &mut Mistakes,
) -> (SocketAddr, Option<NodeAddr>) {
    let mut section = mistakes.section("server");
    let host = section.take("host", host(&raw.host)).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    section.require(
        "host",
        host.is_loopback() || security.token.is_some() || security.tls.is_some(),
        format_args!(
            "{host} can be reached from elsewhere: set `security.token`, or `security.ca`, \
             `security.cert` and `security.key`"
        ),
    );
    let addr = raw.service_addr.as_deref().map(str::trim).filter(|addr| !addr.is_empty());
    let addr = addr.and_then(|addr| section.take("service_addr", addr.parse::<NodeAddr>()));
    section.require(
        "service_addr",
        addr.is_some() || !host.is_unspecified(),
        format_args!("must say the address under which others reach a server on {host}"),
    );
    (SocketAddr::new(host, raw.port), addr)
}

fn admin(raw: &raw::Admin, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let host = mistakes.section("admin").take("host", host(&raw.host))?;
    raw.enabled.then(|| SocketAddr::new(host, raw.port))
}

fn names(names: Vec<String>, mistakes: &mut Mistakes) -> Vec<String> {
    let unique: BTreeSet<&String> = names.iter().collect();
    let good = !names.is_empty()
        && unique.len() == names.len()
        && names.iter().all(|name| !name.is_empty() && name.len() <= 128);
    mistakes.section("group").require(
        "names",
        good,
        "expected one name or more, each of 1 to 128 bytes and each once",
    );
    names
}

fn group(raw: &raw::Group, section: &mut Section<'_>) -> GroupSettings {
    GroupSettings {
        max_bytes: section
            .within("max_bytes", raw.max_bytes, Size(1 << 16)..=Size(1 << 40))
            .as_usize(),
        ttl: section.within("ttl", raw.ttl, LIFE).into(),
        jitter: section.within("jitter", raw.jitter, 0.0..=1.0),
        hot: HotKeys {
            max_bytes: raw.hot_bytes.as_usize(),
            rate: section.within("hot_rate", raw.hot_rate, 1..=1_000_000),
            life: section.within("hot_ttl", raw.hot_ttl, LIFE).into(),
        },
        tombstones: section.within("tombstones", raw.tombstones, 1..=10_000_000),
        tombstone_ttl: section.within("tombstone_ttl", raw.tombstone_ttl, LIFE).into(),
        max_skew: section.within("max_skew", raw.max_skew, TIMES).into(),
    }
}

fn strategy(raw: &raw::Sync, section: &mut Section<'_>) -> Arc<dyn Strategy> {
    let mut address = |key: &str, text: &str| {
        section.take(key, text.parse::<NodeAddr>()).map(|addr| addr.shared())
    };
    let named: BTreeSet<Arc<str>> =
        raw.peers.0.iter().filter_map(|peer| address("peers", peer)).collect();
    let shards: Vec<BTreeSet<Arc<str>>> = raw
        .shards
        .0
        .iter()
        .map(|shard| shard.split_whitespace().filter_map(|peer| address("shards", peer)).collect())
        .collect();
    match raw.strategy.trim() {
        "broadcast" => Arc::new(Broadcast),
        "peers" if !named.is_empty() => Arc::new(SomePeers::Named(named)),
        "peers" => Arc::new(SomePeers::Successors(raw.successors)),
        "shard_group" => {
            let good = !shards.is_empty() && shards.iter().all(|shard| !shard.is_empty());
            section.require("shards", good, "shard_group needs shards, each with its members");
            Arc::new(ShardGroup::new(shards))
        }
        other => {
            let wrong =
                format_args!("expected `broadcast`, `peers` or `shard_group`, found {other:?}")
                    .to_string();
            section.add("strategy", wrong);
            Arc::new(Broadcast)
        }
    }
}

fn peers(raw: &raw::Raw, service: String, mistakes: &mut Mistakes) -> PeerOptions {
    let mut section = mistakes.section("peers");
    let mut time =
        |key: &str, value: Millis| -> Duration { section.within(key, value, TIMES).into() };
    let peers = &raw.peers;
    let connect_timeout = time("connect_timeout", peers.connect_timeout);
    let get_timeout = time("get_timeout", peers.get_timeout);
    let ping_interval = time("ping_interval", peers.ping_interval);
    let keep_alive = (
        time("keep_alive", peers.keep_alive),
        time("keep_alive_timeout", peers.keep_alive_timeout),
    );
    let replicas = section.within("replicas", peers.replicas, 1..=10_000);
    let eject_after = section.within("eject_after", peers.eject_after, 1..=1000);
    let mut section = mistakes.section("sync");
    let sync = &raw.sync;
    PeerOptions {
        service,
        replicas: NonZeroU16::new(replicas).unwrap_or(NonZeroU16::MIN),
        connect_timeout,
        get_timeout,
        sync_timeout: section.within("timeout", sync.timeout, TIMES).into(),
        ping_interval,
        eject_after,
        back_off: section.within("back_off", sync.back_off, TIMES).into(),
        back_off_most: section.within("back_off_most", sync.back_off_most, TIMES).into(),
        keep_alive,
        queue: QueueLimits {
            entries: section.within("queue_entries", sync.queue_entries, 1..=10_000_000),
            bytes: section
                .within("queue_bytes", sync.queue_bytes, Size(4 << 20)..=Size(1 << 36))
                .as_usize(),
        },
        batch: section.within("batch", sync.batch, 1..=10_000),
        token: None,
        tls: None,
        dial: None,
    }
}

fn nodes(raw: &raw::Peers, mistakes: &mut Mistakes) -> Vec<NodeAddr> {
    let mut section = mistakes.section("peers");
    raw.nodes.0.iter().filter_map(|node| section.take("nodes", node.parse())).collect()
}

fn allow(raw: &raw::Peers, mistakes: &mut Mistakes) -> Allow {
    let mut section = mistakes.section("peers");
    let networks = raw.allowed_cidrs.0.iter();
    let networks = networks.filter_map(|cidr| {
        let parsed = cidr
            .parse()
            .map_err(|_| format!("expected a network such as \"10.0.0.0/8\", found {cidr:?}"));
        section.take("allowed_cidrs", parsed)
    });
    Allow { networks: networks.collect(), own: Vec::new() }
}

fn etcd(raw: raw::Etcd, env: &Env, section: &mut Section<'_>) -> Option<etcd::Settings> {
    section.require("prefix", raw.prefix.starts_with('/'), "must start with /");
    section.within("ttl", raw.ttl.0.as_secs(), 1..=3600);
    let pair = pair(raw.cert, raw.key, section);
    let ca = raw.ca.filter(|path| !path.as_os_str().is_empty());
    let encrypted = ca.is_some() || pair.is_some();
    let tls = encrypted.then_some(etcd::Tls { ca, identity: pair, domain: None });
    for endpoint in &raw.endpoints.0 {
        section.take("endpoints", etcd::Settings::check_endpoint(endpoint, tls.as_ref()));
    }
    let user = raw.user.trim();
    let password = raw.password.and_then(|secret| reveal(&secret, "password", env, section));
    section.require(
        "password",
        user.is_empty() == password.is_none(),
        "`user` and `password` go together",
    );
    if raw.endpoints.0.is_empty() {
        return None;
    }
    let mut settings = etcd::Settings::new(raw.endpoints.0);
    settings.prefix = raw.prefix;
    settings.ttl = raw.ttl.into();
    settings.user = password.map(|password| (user.to_owned(), password));
    settings.tls = tls;
    Some(settings)
}

fn security(raw: raw::Security, env: &Env, section: &mut Section<'_>) -> Security {
    let token = raw.token.and_then(|secret| reveal(&secret, "token", env, section));
    let pair = pair(raw.cert, raw.key, section);
    let ca = raw.ca.filter(|path| !path.as_os_str().is_empty());
    section.require(
        "ca",
        ca.is_some() == pair.is_some(),
        "`ca`, `cert` and `key` go together: both sides of a connection show a certificate",
    );
    let domain = Some(raw.domain.trim().to_owned()).filter(|domain| !domain.is_empty());
    let tls = ca.zip(pair).map(|(ca, (cert, key))| TlsFiles { ca, cert, key, domain });
    Security { token, tls }
}

fn reveal(
    secret: &Secret,
    key: &str,
    env: &Env,
    section: &mut Section<'_>,
) -> Option<SecretString> {
    section.take(key, secret.reveal(env))
}

fn pair(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    section: &mut Section<'_>,
) -> Option<(PathBuf, PathBuf)> {
    let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
    let (cert, key) = (given(cert), given(key));
    section.require("key", cert.is_some() == key.is_some(), "`cert` and `key` go together");
    cert.zip(key)
}
