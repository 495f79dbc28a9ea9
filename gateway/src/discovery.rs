//! Who the nodes are, as they come and go: by the configuration, or by what is found.

use std::time::SystemTime;

use kamaitachi_discovery::{
    Found, NodeAddr, Origin,
    disk::{Keeper, Known},
    follow::{self, Vouch},
    poll,
};
use serde_json::{Value, json};

use crate::config::{Config, Discovery, NodeSource};

/// Who the nodes are. Clones follow the same; with the last one the search ends.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// The nodes that answer reads.
    pub slaves: Found,
    /// The node that takes writes; where several say so, the first by its text.
    pub master: Found,
    /// Who else may know whether a slave is there.
    pub vouch: Vouch,
    _keeper: Option<Keeper>,
}

impl Upstreams {
    /// Nodes that somebody else looks for.
    #[must_use]
    pub fn new(slaves: Found, master: Found) -> Self {
        Self { slaves, master, vouch: Vouch::default(), _keeper: None }
    }

    /// The nodes of a configuration: followed in etcd, a file or DNS from now on where it says so.
    ///
    /// What `[upstream]` lists counts until the first answer. With etcd, what was known last (the copy on disk) goes
    /// before that.
    ///
    /// # Panics
    ///
    /// Where nodes are to be found, outside a tokio runtime.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        let (found, listed) = (&config.discovery, config.upstream.nodes.clone());
        let master: Vec<_> = config.upstream.master.iter().cloned().collect();
        let poll =
            |source| poll::start(source, found.allow.clone(), found.interval, listed.clone());
        match &found.source {
            NodeSource::Static => Self::new(Found::fixed(listed), Found::fixed(master)),
            NodeSource::File(path) => {
                Self::new(poll(poll::Source::File(path.clone())), Found::fixed(master))
            }
            NodeSource::Dns(name) => {
                Self::new(poll(poll::Source::Name(name.clone())), Found::fixed(master))
            }
            NodeSource::Etcd(etcd) => {
                let known = found.cache.as_deref().map(|path| Known::load(path, &found.allow));
                let known = known.unwrap_or_default();
                let follow = |service: &str, listed, vouch| {
                    let (settings, start) = begin(found, &known, service, listed);
                    follow::start(etcd.clone(), follow::Settings { vouch, ..settings }, start)
                };
                let vouch = Vouch::default();
                let slaves = follow(&found.slaves, listed, vouch.clone());
                // Nobody's word makes a master: another may be about to take its place.
                let master = follow(&found.master, master, Vouch::default());
                let services = [(&found.slaves, &slaves), (&found.master, &master)];
                let services = services.map(|(name, found)| (name.clone(), found.clone()));
                let keep = |path| Keeper::start(path, services.to_vec());
                let keeper = found.cache.clone().map(keep);
                Self { slaves, master, vouch, _keeper: keeper }
            }
        }
    }
}

/// What a service is followed with, and from which members on.
fn begin(
    found: &Discovery,
    known: &Known,
    service: &str,
    listed: Vec<NodeAddr>,
) -> (follow::Settings, Vec<NodeAddr>) {
    let mut settings = follow::Settings {
        allow: found.allow.clone(),
        guard: found.guard,
        most: found.most,
        relist: found.relist,
        ..follow::Settings::new(service)
    };
    let start = match known.members(service) {
        [] => listed,
        members => {
            (settings.origin, settings.known_at) = (Origin::Disk, known.saved());
            members.to_vec()
        }
    };
    let origin = settings.origin;
    tracing::info!(service, members = ?start, %origin, "until etcd answers");
    (settings, start)
}

/// Where nodes are known from, how old that is, and what is wrong with it.
#[must_use]
pub fn page(found: &Found, now: SystemTime) -> Value {
    let health = found.health();
    let mut page = json!({"source": health.origin.as_str()});
    if let Some(age) = health.age(now) {
        page["age_seconds"] = age.as_secs().into();
    }
    if health.origin != Origin::Static || health.trouble.is_some() {
        page["connected"] = health.connected.into();
    }
    if let Some(trouble) = health.trouble {
        page["trouble"] = trouble.into();
    }
    if health.held > 0 {
        page["held"] = health.held.into();
    }
    page
}
