//! One upstream address, as all workers see it.
use std::{net::SocketAddr, sync::Arc};

use kamaitachi_layers::select;
use kamaitachi_policies::outlier::Places;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    counters::{Counters, Totals},
    health::{Health, HealthConfig, LatePlaces},
};

/// An upstream: its address, its health, and what its connections went through. Shared by all workers.
#[derive(Debug)]
pub struct Node {
    name: Arc<str>,
    // Known beforehand where the name is an address, so that connecting asks no resolver.
    address: Option<SocketAddr>,
    health: Health,
    counters: Mutex<Vec<Arc<Counters>>>,
}

impl Node {
    /// A healthy node at `name`, which is `host:port`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, health: HealthConfig) -> Arc<Self> {
        // Nobody stands in for a node that is alone.
        Self::among(name, health, LatePlaces::new(Places::default(), 1))
    }

    /// The same among others, which share `places`.
    #[must_use]
    pub fn among(
        name: impl Into<Arc<str>>,
        health: HealthConfig,
        places: Arc<LatePlaces>,
    ) -> Arc<Self> {
        let name = name.into();
        let address = name.parse().ok();
        let health = Health::new(health, places);
        Arc::new(Self { name, address, health, counters: Mutex::default() })
    }

    /// Its address, `host:port`.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it is fit to be asked: a flag that is kept up to date, for the member of a
    /// [`select::Pool`] that stands for this node.
    #[must_use]
    pub fn flag(&self) -> &select::Health {
        self.health.flag()
    }

    /// Where its health is decided.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The sum of all workers' counters. Not exact while they work.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &*self.counters.lock() {
            counters.add_to(&mut totals);
        }
        totals
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Counters for one more worker.
    pub(super) fn register(&self) -> Arc<Counters> {
        let mut all = self.counters.lock();
        // Those of a worker that let go of the node count on with the next.
        if let Some(unused) = all.iter().find(|counters| Arc::strong_count(counters) == 1) {
            return Arc::clone(unused);
        }
        let counters = Arc::<Counters>::default();
        all.push(Arc::clone(&counters));
        counters
    }

    /// Notes that another node answered a request in its place.
    pub fn lost(&self) {
        self.health.lost(Instant::now());
    }

    /// Notes that the node said itself that it is not there for requests.
    pub(super) fn refused(&self) {
        self.health.refused(Instant::now());
    }

    /// Notes a failure that speaks against the node.
    pub(super) fn failed(&self) {
        self.health.failed(Instant::now());
    }
}
