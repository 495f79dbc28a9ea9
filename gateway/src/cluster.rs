//! What all workers know together of the nodes: who they are, how they fare, and their breakers.

use std::{collections::BTreeMap, fmt, sync::Arc};

use kamaitachi_layers::{
    circuit_breaker::Circuit,
    select::{Member, Pool},
};
use kamaitachi_policies::breaker::BreakerConfig;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use kamaitachi_discovery::{Membership, fixed};

use crate::{
    config::{Config, Ejection, Health, NodeAddr, RingConfig, Target},
    discovery::Upstreams,
    joins::Joins,
    upstream::{HealthConfig, LatePlaces, Node},
};

/// The nodes, seen by all workers.
#[derive(Debug)]
pub struct Cluster {
    upstreams: Upstreams,
    ring: RingConfig,
    breaker: Option<BreakerConfig>,
    health: HealthConfig,
    places: Arc<LatePlaces>,
    joins: Joins,
    nodes: Mutex<BTreeMap<NodeAddr, Arc<Node>>>,
    circuits: Mutex<BTreeMap<Arc<str>, Circuit>>,
}

impl Cluster {
    /// These nodes, all healthy, all breakers closed.
    #[must_use]
    pub fn new(config: &Config, upstreams: Upstreams) -> Arc<Self> {
        let places = LatePlaces::new(config.ejection.places, upstreams.slaves.now().len());
        let vouch = upstreams.vouch.clone();
        let cluster = Arc::new(Self {
            upstreams,
            ring: config.ring,
            breaker: config.breaker,
            health: health(config),
            places,
            joins: Joins::new(config.ring.slow_start),
            nodes: Mutex::default(),
            circuits: Mutex::default(),
        });
        let known = Arc::downgrade(&cluster);
        vouch.by(move |addr| known.upgrade().is_some_and(|cluster| cluster.is_proven(addr)));
        cluster
    }

    /// Whether probes find a node ready.
    fn is_proven(&self, addr: &NodeAddr) -> bool {
        self.nodes.lock().get(addr).is_some_and(|node| node.health().is_proven())
    }

    /// The addresses of the nodes that answer reads.
    #[must_use]
    pub fn members(&self) -> Arc<[NodeAddr]> {
        self.upstreams.slaves.now()
    }

    /// The addresses of the nodes that requests for `target` go to, to be followed.
    #[must_use]
    pub fn membership(&self, target: Target) -> Membership {
        match target {
            Target::Ring => self.upstreams.slaves.members(),
            Target::Master => self.upstreams.master.members(),
        }
    }

    /// The node that takes writes: the first by its text, where several say that they do.
    #[must_use]
    pub fn master(&self) -> Option<NodeAddr> {
        self.upstreams.master.now().first().cloned()
    }

    /// The nodes that also say that they take writes, and get none: what two masters take drifts apart.
    #[must_use]
    pub fn rivals(&self) -> Vec<NodeAddr> {
        self.upstreams.master.now().iter().skip(1).cloned().collect()
    }

    /// Where the nodes are known from.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// How keys are spread over the nodes.
    #[must_use]
    pub fn ring(&self) -> RingConfig {
        self.ring
    }

    /// The node at `addr`: one for all that ask.
    #[must_use]
    pub fn node(&self, addr: &NodeAddr) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(addr.clone());
        let places = || Arc::clone(&self.places);
        Arc::clone(node.or_insert_with(|| Node::among(addr.shared(), self.health, places())))
    }

    /// Which nodes are new.
    #[must_use]
    pub fn joins(&self) -> &Joins {
        &self.joins
    }

    /// Notes who the nodes are. To be called before they are put into pools.
    pub fn note_members(&self) {
        self.joins.note(&self.members(), Instant::now());
    }

    /// The node of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.lock().values().find(|node| **node.name() == *name).cloned()
    }

    /// All members and the master.
    #[must_use]
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.members().iter().chain(&self.master()).map(|addr| self.node(addr)).collect()
    }

    /// The breaker `ROUTE@NODE`: one for all that ask. `None` where there are no breakers.
    #[must_use]
    pub fn circuit(&self, route: &str, node: &NodeAddr) -> Option<Circuit> {
        let config = self.breaker?;
        let name: Arc<str> = format!("{route}@{node}").into();
        let mut circuits = self.circuits.lock();
        let circuit = circuits.entry(Arc::clone(&name));
        Some(circuit.or_insert_with(|| Circuit::new(name, config)).clone())
    }

    /// A breaker of the kind that nodes have, which belongs to none. `None` where there are no breakers.
    #[must_use]
    pub fn example_circuit(&self) -> Option<Circuit> {
        self.breaker.map(|config| Circuit::new("ROUTE@NODE", config))
    }

    /// Every breaker, by name.
    #[must_use]
    pub fn circuits(&self) -> Vec<Circuit> {
        self.circuits.lock().values().cloned().collect()
    }

    /// Forgets what belongs to nodes that are gone.
    pub fn forget_gone(&self) {
        let members = self.members();
        self.places.resize(members.len());
        let master = self.master();
        let stays =
            |node: &str| members.iter().chain(&master).any(|member| member.as_str() == node);
        self.nodes.lock().retain(|node, _| stays(node.as_str()));
        self.circuits.lock().retain(|name, _| name.split_once('@').is_some_and(|(_, n)| stays(n)));
    }
}

/// How much it takes to call a node dead, and alive.
fn health(config: &Config) -> HealthConfig {
    let Ejection { lost_hedges, time, max_time, .. } = config.ejection;
    let ejecting = HealthConfig {
        lost_hedges,
        back_off: time,
        max_back_off: max_time,
        ..HealthConfig::default()
    };
    match config.health {
        Some(Health { unhealthy_after, healthy_after, .. }) => {
            HealthConfig { unhealthy_after, healthy_after, is_probed: true, ..ejecting }
        }
        None => ejecting,
    }
}

type Fill = dyn Fn(&mut dyn Iterator<Item = &NodeAddr>);

/// Brings one pool up to date with a list of nodes.
pub struct Refill {
    target: Target,
    fill: Box<Fill>,
}

impl Refill {
    /// Fills `pool` with what `member` makes of each node for `target`.
    pub fn new<E: 'static>(
        target: Target,
        pool: Pool<E>,
        member: impl Fn(&NodeAddr) -> Option<Member<E>> + 'static,
    ) -> Self {
        Self { target, fill: Box::new(move |nodes| pool.set(nodes.filter_map(&member))) }
    }

    /// Which nodes the pool is for.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// Puts exactly these nodes into the pool; of masters the first, since two that take writes would drift apart.
    pub fn with(&self, nodes: &[NodeAddr]) {
        let most = match self.target {
            Target::Ring => usize::MAX,
            Target::Master => 1,
        };
        (self.fill)(&mut nodes.iter().take(most));
    }
}

impl fmt::Debug for Refill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refill").finish_non_exhaustive()
    }
}
