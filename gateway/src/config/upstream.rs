//! `[upstream]`, `[ring]` and `[health]`: the nodes, and how requests are spread over them.

use std::{collections::BTreeSet, num::NonZeroU16, time::Duration};

use kamaitachi_discovery::{
    allow::{host_addresses, is_own},
    view::MOST_NODES,
};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Spread};
use kamaitachi_serve::config::{List, Millis, Mistakes, Seconds};
use serde::{Deserialize, Serialize};

use super::{NodeAddr, Server};

/// A node in the same network answers a connection attempt within milliseconds; a second is a node that is gone.
const CONNECT_TIMEOUT: Millis = Millis::of(1_000);
/// How long the contract lets a node think.
pub(super) const TIMEOUT: Seconds = Seconds::of(30);
/// Shorter than the time after which servers close unused connections, so that a reused one is rarely dead.
const IDLE_TIMEOUT: Seconds = Seconds::of(45);
/// Connections kept for each node by each worker: what a busy worker has in flight, and no more.
const MAX_IDLE: usize = 64;
/// The contract says who owns a key, nodes that have only just registered included.
const SLOW_START: Seconds = Seconds::of(0);
/// Asked of a node to learn whether it can serve.
const HEALTH_PATH: &str = "/readyz";
/// A dead node is noticed within three intervals even where no request meets it.
const HEALTH_INTERVAL: Millis = Millis::of(2_000);
/// A node that takes longer to say that it is well is not.
const HEALTH_TIMEOUT: Millis = Millis::of(1_000);
/// One lost probe is an accident.
const UNHEALTHY_AFTER: u32 = 3;
/// One success could be the last before the next crash.
const HEALTHY_AFTER: u32 = 2;

/// `[upstream]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawUpstream {
    /// Nodes that answer reads.
    pub nodes: List<NodeAddr>,
    /// The node that takes writes; empty = none.
    pub master: String,
    /// Longest wait for a connection.
    pub connect_timeout: Millis,
    /// Longest wait for the head of an answer.
    pub timeout: Seconds,
    /// How long an unused connection is kept.
    pub idle_timeout: Seconds,
    /// Unused connections kept for each node by each worker.
    pub max_idle: usize,
}

impl Default for RawUpstream {
    fn default() -> Self {
        Self {
            nodes: List(Vec::new()),
            master: String::new(),
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            max_idle: MAX_IDLE,
        }
    }
}

/// `[ring]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawRing {
    /// Points of each node.
    pub replicas: u16,
    /// How points are spread.
    pub spread: RawSpread,
    /// How long a node that joins takes to get all its keys.
    pub slow_start: Seconds,
}

impl Default for RawRing {
    fn default() -> Self {
        Self { replicas: DEFAULT_REPLICAS.get(), spread: RawSpread::Plain, slow_start: SLOW_START }
    }
}

/// How points are spread over the ring.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RawSpread {
    /// CRC-32 as it is.
    Plain,
    /// CRC-32 and a finaliser: more even.
    Mixed,
}

/// `[health]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawHealth {
    /// Whether nodes are probed.
    pub enabled: bool,
    /// Path that is asked.
    pub path: String,
    /// Time between two probes of a node.
    pub interval: Millis,
    /// Longest wait for an answer.
    pub timeout: Millis,
    /// Failures in a row after which a node gets no requests.
    pub unhealthy_after: u32,
    /// Successes in a row after which it gets some again.
    pub healthy_after: u32,
}

impl Default for RawHealth {
    fn default() -> Self {
        Self {
            enabled: true,
            path: HEALTH_PATH.to_owned(),
            interval: HEALTH_INTERVAL,
            timeout: HEALTH_TIMEOUT,
            unhealthy_after: UNHEALTHY_AFTER,
            healthy_after: HEALTHY_AFTER,
        }
    }
}

/// The nodes, and how they are reached.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Nodes that answer reads, without repeats, in the order of the file.
    pub nodes: Vec<NodeAddr>,
    /// The node that takes writes.
    pub master: Option<NodeAddr>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the head of an answer.
    pub timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept for each node by each worker.
    pub max_idle: usize,
}

impl Upstream {
    pub(super) fn check(raw: RawUpstream, server: &Server, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("upstream");
        let own = server.own();
        // Where a name leads is seen when it is asked.
        let own = |node: &NodeAddr| {
            let ips = host_addresses(node.host()).unwrap_or_default();
            ips.into_iter().any(|ip| is_own(&own, ip, node.port()))
        };
        let mut seen = BTreeSet::new();
        for (i, node) in raw.nodes.0.iter().enumerate() {
            let key = format!("nodes[{i}]");
            section.require(&key, seen.insert(node), format_args!("{node} is listed twice"));
            section.require(
                &key,
                !own(node),
                format_args!("{node} is the gateway itself: requests would go round in circles"),
            );
        }
        section.require(
            "nodes",
            raw.nodes.0.len() <= MOST_NODES,
            format_args!("{} nodes, at most {MOST_NODES} are possible", raw.nodes.0.len()),
        );
        let master = match raw.master.trim() {
            "" => None,
            text => section.take("master", text.parse::<NodeAddr>()),
        };
        section.require(
            "master",
            !master.as_ref().is_some_and(own),
            "is the gateway itself: requests would go round in circles",
        );
        let connect =
            section.within("connect_timeout", raw.connect_timeout, Millis::of(1)..=MINUTE);
        let timeout = section.within("timeout", raw.timeout, SHORTEST..=Seconds::of(3_600));
        let idle = section.within("idle_timeout", raw.idle_timeout, Seconds::of(1)..=HOUR);
        Self {
            nodes: raw.nodes.0,
            master,
            connect_timeout: connect.into(),
            timeout: timeout.into(),
            idle_timeout: idle.into(),
            max_idle: section.within("max_idle", raw.max_idle, 0..=10_000),
        }
    }
}

const MINUTE: Millis = Millis::of(60_000);
const HOUR: Seconds = Seconds::of(3_600);
/// The shortest time-out of a request that makes sense anywhere.
pub(super) const SHORTEST: Seconds = kamaitachi_serve::config::Span(Duration::from_millis(1));

/// How keys are spread over the nodes.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Points of each node.
    pub replicas: NonZeroU16,
    /// How points are spread.
    pub spread: Spread,
    /// How long a node that joins takes to get all its keys; zero gives them at once.
    pub slow_start: Duration,
}

impl RingConfig {
    pub(super) fn check(raw: &RawRing, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("ring");
        let replicas = section.within("replicas", raw.replicas, 1..=10_000);
        let spread = match raw.spread {
            RawSpread::Plain => Spread::Plain,
            RawSpread::Mixed => Spread::Mixed,
        };
        let slow_start = section.within("slow_start", raw.slow_start, Seconds::of(0)..=HOUR).into();
        let replicas = NonZeroU16::new(replicas).unwrap_or(DEFAULT_REPLICAS);
        Self { replicas, spread, slow_start }
    }
}

/// How nodes are probed.
#[derive(Clone, Debug)]
pub struct Health {
    /// Path that is asked.
    pub path: http::Uri,
    /// Time between two probes of a node.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Failures in a row after which a node gets no requests.
    pub unhealthy_after: u32,
    /// Successes in a row after which it gets some again.
    pub healthy_after: u32,
}

impl Health {
    /// `None` where nodes are not probed.
    pub(super) fn check(raw: &RawHealth, mistakes: &mut Mistakes) -> Option<Self> {
        let mut section = mistakes.section("health");
        let expected = || format!("expected a path such as \"/readyz\", found {:?}", raw.path);
        let parsed = raw.path.parse::<http::uri::PathAndQuery>().ok();
        let path = parsed.filter(|path| path.path().starts_with('/')).ok_or_else(expected);
        let path = section.take("path", path).map(http::Uri::from).unwrap_or_default();
        let interval = section.within("interval", raw.interval, Millis::of(10)..=MINUTE);
        let timeout = section.within("timeout", raw.timeout, Millis::of(10)..=MINUTE);
        let unhealthy_after = section.within("unhealthy_after", raw.unhealthy_after, 1..=100);
        let healthy_after = section.within("healthy_after", raw.healthy_after, 1..=100);
        raw.enabled.then(|| Self {
            path,
            interval: interval.into(),
            timeout: timeout.into(),
            unhealthy_after,
            healthy_after,
        })
    }
}
