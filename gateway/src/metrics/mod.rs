//! The gateway's metrics: counted per route by index on the way of a request, named only when they are asked for.
//!
//! Every worker has [`Recorder`]s of its own, so no two threads write to one cache line. A scrape adds them up and asks
//! breakers, nodes and the server for the rest. Labels are words of closed sets or names of the configuration, never
//! anything that a client sent.

mod collect;
mod counts;
mod discovery;
mod hedges;
mod scattered;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Method, StatusCode};
use kamaitachi_serve::exposition::Exposition;
use kamaitachi_serve::limits::Counters;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use crate::{cluster::Cluster, reason::Reason};
use counts::{Counts, Sum};
pub use hedges::Hedges;
pub use scattered::Scattered;

/// The name under which requests are counted that no route has.
pub const NO_ROUTE: &str = "none";

/// The name under which the gateway's own paths are counted.
pub const OWN: &str = "own";

/// All metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    routes: Vec<Route>,
    registry: Registry,
    server: OnceLock<Arc<Counters>>,
}

struct Route {
    name: Arc<str>,
    recorders: Mutex<Vec<Arc<Counts>>>,
    hedges: Arc<Hedges>,
    scattered: Arc<Scattered>,
}

/// Counts the requests of one route on one worker.
#[derive(Clone)]
pub struct Recorder {
    counts: Arc<Counts>,
}

impl Metrics {
    /// Metrics for the routes of these names.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Arc<str>>, cluster: Arc<Cluster>) -> Arc<Self> {
        let names = routes.into_iter().chain([OWN.into(), NO_ROUTE.into()]);
        let routes: Vec<_> = names
            .map(|name| Route {
                name,
                recorders: Mutex::default(),
                hedges: Arc::default(),
                scattered: Arc::default(),
            })
            .collect();
        Arc::new_cyclic(|this| {
            let mut registry = Registry::with_prefix("kamaitachi");
            let metrics = std::sync::Weak::clone(this);
            registry.register_collector(Box::new(collect::All { metrics, cluster }));
            Self { routes, registry, server: OnceLock::new() }
        })
    }

    /// A recorder of `route` for one more worker. Nothing shows what it counts if there is no such route.
    #[must_use]
    pub fn recorder(&self, route: &str) -> Recorder {
        let counts = Arc::new(Counts::default());
        if let Some(route) = self.routes.iter().find(|known| *known.name == *route) {
            route.recorders.lock().push(Arc::clone(&counts));
        }
        Recorder { counts }
    }

    /// The counts of what became of late answers of `route`. Nothing shows them if there is no such route.
    #[must_use]
    pub fn hedges(&self, route: &str) -> Arc<Hedges> {
        let route = self.routes.iter().find(|known| *known.name == *route);
        route.map(|route| Arc::clone(&route.hedges)).unwrap_or_default()
    }

    /// The counts of what became of questions of `route` that were split. Nothing shows them if there is no such route.
    #[must_use]
    pub fn scattered(&self, route: &str) -> Arc<Scattered> {
        let route = self.routes.iter().find(|known| *known.name == *route);
        route.map(|route| Arc::clone(&route.scattered)).unwrap_or_default()
    }

    /// Also shows the connections of the server with these counters; the first one counts.
    pub fn watch(&self, server: Arc<Counters>) {
        let _ = self.server.set(server);
    }

    /// Everything, in a form that Prometheus reads.
    #[must_use]
    pub fn render(&self, format: Exposition) -> String {
        // Writing to a string fails only where a collector says so, and ours don't.
        format.render(&self.registry).unwrap_or_default()
    }

    fn sums(&self) -> impl Iterator<Item = (&Arc<str>, Sum)> {
        self.routes.iter().map(|route| {
            let mut sum = Sum::default();
            for counts in route.recorders.lock().iter() {
                counts.add_to(&mut sum);
            }
            (&route.name, sum)
        })
    }
}

impl Recorder {
    /// Counts one answer.
    pub fn record(&self, method: &Method, status: StatusCode, reason: Reason, took: Duration) {
        self.counts.add(method.into(), status, reason, took);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish_non_exhaustive()
    }
}
