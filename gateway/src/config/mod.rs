//! The gateway's configuration: read into raw sections, checked into values that can't be wrong.
//!
//! Each section is checked in the file that describes it, against constants that say why they are what they are.
//! Every mistake of a file is named in one run. Everything behind [`load`] sees [`Config`] only.

mod defaults;
mod discovery;
mod ejection;
mod limits;
mod listen;
mod policy;
mod route;
mod scatter;
mod shared;
#[cfg(test)]
mod tests;
mod upstream;

use std::{collections::BTreeMap, path::Path};

use kamaitachi_layers::forward::ForwardLayer;
use kamaitachi_policies::breaker::BreakerConfig;
use kamaitachi_serve::{
    config::{ConfigError, Env, Mistakes, load_checked},
    limits::Limits,
};
use serde::{Deserialize, Serialize};

pub use discovery::{Discovery, RawDiscovery, Source as NodeSource};
pub use ejection::{Ejection, RawEjection};
pub use kamaitachi_discovery::{InvalidNodeAddr, NodeAddr, config::RawEtcd};
pub use limits::RawLimits;
pub use listen::{Log, RawAdmin, RawLog, RawServer, Server};
pub use policy::{
    ClientKey, ClientLimit, RateLimits, RawBreaker, RawForward, RawRateLimit, RawRetry, Retries,
};
pub use route::{Locality, RawRoute, RouteConfig, Target};
pub use scatter::{RawScatter, Scatters};
pub use shared::{RawCache, RawDatabase, RawReplication};
pub use upstream::{Health, RawHealth, RawRing, RawSpread, RawUpstream, RingConfig, Upstream};

/// The whole file as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct RawConfig {
    /// Where the gateway listens.
    pub server: RawServer,
    /// Where its operators reach it.
    pub admin: RawAdmin,
    /// The nodes behind it.
    pub upstream: RawUpstream,
    /// Where nodes register themselves.
    pub etcd: RawEtcd,
    /// How nodes are found.
    pub discovery: RawDiscovery,
    /// How keys are spread over the nodes.
    pub ring: RawRing,
    /// What one client may take.
    pub limits: RawLimits,
    /// How often requests may come.
    pub rate_limit: RawRateLimit,
    /// When a node is taken for failing.
    pub breaker: RawBreaker,
    /// Second tries.
    pub retry: RawRetry,
    /// Questions that are split by subject.
    pub scatter: RawScatter,
    /// When a node gets no requests for a while.
    pub ejection: RawEjection,
    /// What is told to nodes about clients, and believed from proxies.
    pub forward: RawForward,
    /// Probing of nodes.
    pub health: RawHealth,
    /// Logs.
    pub log: RawLog,
    /// Routes by name; those compiled in can be changed key by key.
    pub routes: BTreeMap<String, RawRoute>,
    /// Of the nodes; not used here.
    #[serde(skip_serializing)]
    pub cache: RawCache,
    /// Of the nodes; not used here.
    #[serde(skip_serializing)]
    pub database: RawDatabase,
    /// Of the nodes; not used here.
    #[serde(skip_serializing)]
    pub replication: RawReplication,
}

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where and how the gateway serves.
    pub server: Server,
    /// The nodes, and how they are reached.
    pub upstream: Upstream,
    /// How nodes are found.
    pub discovery: Discovery,
    /// How keys are spread over the nodes.
    pub ring: RingConfig,
    /// What one client may take.
    pub limits: Limits,
    /// How often requests may come.
    pub rate_limit: RateLimits,
    /// When a node is taken for failing; `None` = never.
    pub breaker: Option<BreakerConfig>,
    /// How often a read is tried.
    pub retry: Retries,
    /// What questions that are split by subject may take.
    pub scatter: Scatters,
    /// When a node gets no requests for a while.
    pub ejection: Ejection,
    /// What is told to nodes about clients, and believed from proxies.
    pub forward: ForwardLayer,
    /// How nodes are probed; `None` = not at all.
    pub health: Option<Health>,
    /// Logs.
    pub log: Log,
    /// The routes, ordered by name.
    pub routes: Vec<RouteConfig>,
}

impl Config {
    /// Checks raw sections, notes every mistake, and answers as good a configuration as they allow, which is to be
    /// used only where no mistake was noted.
    #[must_use]
    pub fn check(raw: RawConfig, env: &Env, mistakes: &mut Mistakes) -> Self {
        let server = Server::check(&raw.server, &raw.admin, mistakes);
        let upstream = Upstream::check(raw.upstream, &server, mistakes);
        let etcd = raw.etcd.check(env, mistakes);
        let routes = route::check(raw.routes, upstream.timeout, mistakes);
        Self {
            discovery: Discovery::check(raw.discovery, etcd, &server, mistakes),
            ring: RingConfig::check(&raw.ring, mistakes),
            limits: limits::check(&raw.limits, mistakes),
            rate_limit: RateLimits::check(&raw.rate_limit, env, mistakes),
            breaker: policy::check_breaker(&raw.breaker, mistakes),
            retry: Retries::check(&raw.retry, mistakes),
            scatter: Scatters::check(&raw.scatter, mistakes),
            ejection: Ejection::check(&raw.ejection, mistakes),
            forward: policy::check_forward(&raw.forward, mistakes),
            health: Health::check(&raw.health, mistakes),
            log: Log::check(raw.log, mistakes),
            server,
            upstream,
            routes,
        }
    }
}

/// Reads and checks a configuration file with the overrides of `env`; without a file, the defaults and `env` alone.
///
/// # Errors
///
/// The file can't be read, or has mistakes: all of them are named.
pub fn load(path: Option<&Path>, env: &Env) -> Result<Config, ConfigError> {
    load_checked(path, env, |raw, mistakes| Config::check(raw, env, mistakes))
}
