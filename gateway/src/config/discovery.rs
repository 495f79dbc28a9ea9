//! `[discovery]`: how nodes are found where they are not listed, and what of it is believed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use kamaitachi_discovery::{
    NodeAddr,
    allow::{Allow, DEFAULT_CIDRS},
    etcd,
    view::{Guard, MOST_NODES},
};
use kamaitachi_serve::config::{List, Mistakes, Seconds, Section};
use serde::{Deserialize, Serialize};

use super::Server;

/// The name under which nodes that answer queries register themselves.
const SLAVES: &str = "kamaitachi-slave";
/// The name under which the node that takes writes registers itself.
const MASTER: &str = "kamaitachi-master";
/// Beside what a gateway may keep otherwise.
const CACHE: &str = "data/gateway.members.json";
/// One of two nodes may be gone at once; all of them are more likely there than the list is right.
const MAX_DROP_PERCENT: u8 = 50;
/// Three leases: a node that lives has registered itself again by then.
const HOLD: Seconds = Seconds::of(30);
/// How long a watch that died without a word can mislead.
const RELIST: Seconds = Seconds::of(30);
/// How soon a change of a file or a name is noticed.
const INTERVAL: Seconds = Seconds::of(5);

/// `[discovery]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawDiscovery {
    /// Service name of the nodes that answer reads.
    pub slaves: String,
    /// Service name of the node that takes writes.
    pub master: String,
    /// Networks that nodes may be in.
    pub allowed_cidrs: List,
    /// File of the members known last; empty = none.
    pub cache: String,
    /// Share of the members that may be lost at once.
    pub max_drop_percent: u8,
    /// How long more of them must be missing to be believed.
    pub hold: Seconds,
    /// How often everything is listed.
    pub relist: Seconds,
    /// The most nodes of a service.
    pub max_nodes: usize,
    /// File of addresses; empty = none.
    pub file: String,
    /// Name and port to resolve; empty = none.
    pub dns: String,
    /// How often the file is read, or the name resolved.
    pub interval: Seconds,
}

impl Default for RawDiscovery {
    fn default() -> Self {
        Self {
            slaves: SLAVES.to_owned(),
            master: MASTER.to_owned(),
            allowed_cidrs: List(DEFAULT_CIDRS.map(str::to_owned).to_vec()),
            cache: CACHE.to_owned(),
            max_drop_percent: MAX_DROP_PERCENT,
            hold: HOLD,
            relist: RELIST,
            max_nodes: MOST_NODES,
            file: String::new(),
            dns: String::new(),
            interval: INTERVAL,
        }
    }
}

/// How nodes are found, and what of it is believed.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Where they are looked for.
    pub source: Source,
    /// Service name of the nodes that answer reads.
    pub slaves: String,
    /// Service name of the node that takes writes.
    pub master: String,
    /// Which values may become nodes.
    pub allow: Allow,
    /// When their loss is not believed.
    pub guard: Guard,
    /// The most nodes of a service.
    pub most: usize,
    /// How often everything is listed.
    pub relist: Duration,
    /// How often a file is read, or a name resolved.
    pub interval: Duration,
    /// File of the members known last.
    pub cache: Option<PathBuf>,
}

/// Where nodes are looked for.
#[derive(Clone, Debug)]
pub enum Source {
    /// In `[upstream]` alone.
    Static,
    /// In etcd, master and all.
    Etcd(etcd::Settings),
    /// In a file; the master in `[upstream]`.
    File(PathBuf),
    /// In what a name resolves to; the master in `[upstream]`.
    Dns(NodeAddr),
}

impl Discovery {
    pub(super) fn check(
        raw: RawDiscovery,
        etcd: Option<etcd::Settings>,
        server: &Server,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut section = mistakes.section("discovery");
        for (key, name) in [("slaves", &raw.slaves), ("master", &raw.master)] {
            section.require(
                key,
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/'),
                format_args!("expected a name without blanks and slashes, found {name:?}"),
            );
        }
        section.require(
            "master",
            raw.master != raw.slaves,
            "is the name of the slaves too: writes would go to any of them",
        );
        let window = etcd.as_ref().map_or(Guard::default().window, |etcd| etcd.ttl);
        let percent = section.within("max_drop_percent", raw.max_drop_percent, 0..=100);
        let hold = section.within("hold", raw.hold, Seconds::of(0)..=HOUR);
        let relist = section.within("relist", raw.relist, Seconds::of(1)..=HOUR);
        let interval = section.within("interval", raw.interval, Seconds::of(1)..=HOUR);
        Self {
            allow: allow(&raw.allowed_cidrs, server.own(), &mut section),
            guard: Guard { max_drop_percent: percent, hold: hold.into(), window },
            most: section.within("max_nodes", raw.max_nodes, 1..=100_000),
            relist: relist.into(),
            interval: interval.into(),
            cache: (!raw.cache.is_empty()).then(|| PathBuf::from(&raw.cache)),
            source: source(&raw, etcd, &mut section),
            slaves: raw.slaves,
            master: raw.master,
        }
    }
}

const HOUR: Seconds = Seconds::of(3_600);

fn allow(cidrs: &List, own: Vec<SocketAddr>, section: &mut Section<'_>) -> Allow {
    let mut networks = Vec::new();
    for (i, cidr) in cidrs.0.iter().enumerate() {
        let network = cidr
            .parse::<IpNet>()
            .map_err(|_| format!("expected a network such as \"10.0.0.0/8\", found {cidr:?}"));
        networks.extend(section.take(format_args!("allowed_cidrs[{i}]"), network));
    }
    Allow { networks, own }
}

fn source(raw: &RawDiscovery, etcd: Option<etcd::Settings>, section: &mut Section<'_>) -> Source {
    let (file, dns) = (raw.file.trim(), raw.dns.trim());
    let one = "nodes are looked for in one place: set one of etcd.endpoints, discovery.file and discovery.dns";
    section.require("file", file.is_empty() || etcd.is_none(), one);
    section.require("dns", dns.is_empty() || (etcd.is_none() && file.is_empty()), one);
    match (etcd, file, dns) {
        (Some(etcd), ..) => Source::Etcd(etcd),
        (None, "", "") => Source::Static,
        (None, "", dns) => section.take("dns", dns.parse()).map_or(Source::Static, Source::Dns),
        (None, file, _) => Source::File(file.into()),
    }
}
