//! What the workers of one node share.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::HeaderValue;
use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::info::Info, registry::Registry,
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    failure::Failure,
    metrics::{Requests, counter, gauge},
    request::{Reader, Rules},
    routes::Routes,
};
use crate::{
    config::{Limits, Role},
    model::Indicators,
    query::Engine,
    store::Store,
};

/// Bytes that one permit of [`App::bulk`] stands for.
pub(super) const BULK_UNIT: u64 = 1 << 10;

/// One node as its workers see it. What answers queries comes in once it is open, so that a node
/// can say "not yet" from the moment it listens.
pub struct App {
    /// Address under which others reach it.
    pub(super) addr: String,
    /// The same, as answers carry it.
    pub(super) addr_header: HeaderValue,
    pub(super) role: Role,
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    pub(super) routes: Routes,
    pub(super) requests: Arc<Requests>,
    pub(super) registry: Registry,
    /// Bounds the memory of bulk bodies under way to two of the largest.
    pub(super) bulk: Semaphore,
    state: Arc<State>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("addr", &self.addr)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Where the node is in its life.
#[derive(Debug)]
struct State {
    started: Instant,
    core: OnceLock<Core>,
    draining: AtomicBool,
}

/// What answers queries and takes writes.
#[derive(Debug)]
pub struct Core {
    /// The database.
    pub store: Store,
    /// The queries and their cache.
    pub engine: Engine<Store>,
    /// What came of loading a snapshot file, in words.
    pub restored: String,
}

/// One line of `/readyz`.
#[derive(Debug, serde::Serialize)]
pub(super) struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl App {
    /// A node that is still starting.
    #[must_use]
    pub fn new(addr: &str, role: Role, rules: Rules, limits: Limits) -> Self {
        let state = Arc::new(State {
            started: Instant::now(),
            core: OnceLock::new(),
            draining: AtomicBool::new(false),
        });
        let requests = Arc::new(Requests::default());
        let mut registry = Registry::default();
        let build = [("version", env!("CARGO_PKG_VERSION")), ("mode", role.name())];
        registry.register("kamaitachi_node_build", "What runs here.", Info::new(build));
        registry.register_collector(Box::new(Arc::clone(&requests)));
        registry.register_collector(Box::new(Arc::clone(&state)));
        let permits = usize::try_from(2 * limits.ingest_body.div_ceil(BULK_UNIT));
        Self {
            addr: addr.to_owned(),
            addr_header: HeaderValue::from_str(addr)
                .unwrap_or(HeaderValue::from_static("kamaitachi-node")),
            role,
            rules,
            routes: Routes::new(),
            requests,
            registry,
            bulk: Semaphore::new(permits.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)),
            limits,
            state,
        }
    }

    /// From now on the node answers. Only the first call counts.
    pub fn ready(&self, core: Core) {
        if self.state.core.set(core).is_err() {
            tracing::warn!("the node was made ready twice");
        }
    }

    /// From now on the node says that it takes no more traffic, and answers what still comes.
    pub fn drain(&self) {
        self.state.draining.store(true, Relaxed);
    }

    /// The address under which others reach the node.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Seconds since the start.
    pub(super) fn uptime(&self) -> u64 {
        self.state.started.elapsed().as_secs()
    }

    /// What answers, if the node is that far.
    #[must_use]
    pub fn core(&self) -> Option<&Core> {
        self.state.core.get()
    }

    pub(super) fn core_or_refuse(&self) -> Result<&Core, Failure> {
        self.core().ok_or(Failure::NotReady("the node is starting"))
    }

    /// Passes on a master alone.
    pub(super) fn expect_master(&self) -> Result<(), Failure> {
        match &self.role {
            Role::Master => Ok(()),
            Role::Slave { master } => Err(Failure::NotMaster {
                master: master.clone().unwrap_or_else(|| {
                    "an address this slave was not told ([replication] master)".into()
                }),
            }),
        }
    }

    pub(super) fn reader<'r>(&'r self, indicators: &'r Indicators) -> Reader<'r> {
        Reader { rules: &self.rules, indicators }
    }

    /// Whether the node takes traffic, and why not.
    pub(super) fn checks(&self) -> (bool, Vec<Check>) {
        let core = self.core();
        let draining = self.state.draining.load(Relaxed);
        let detail = |done: Option<&str>| done.unwrap_or("not yet").to_owned();
        let checks = vec![
            Check { name: "store", ok: core.is_some(), detail: detail(core.map(|_| "open")) },
            Check {
                name: "snapshot",
                ok: core.is_some(),
                detail: detail(core.map(|core| core.restored.as_str())),
            },
            Check {
                name: "traffic",
                ok: !draining,
                detail: if draining { "draining" } else { "taken" }.to_owned(),
            },
        ];
        (checks.iter().all(|check| check.ok), checks)
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        let ready = self.core.get().is_some() && !self.draining.load(Relaxed);
        gauge(to, "kamaitachi_node_ready", "Whether the node takes traffic.", ready.into())?;
        gauge(
            to,
            "kamaitachi_node_uptime_seconds",
            "Since the start of the node.",
            self.started.elapsed().as_secs(),
        )?;
        let Some(core) = self.core.get() else { return Ok(()) };
        let totals = core.store.totals();
        gauge(to, "kamaitachi_store_revision", "Of the last write.", core.store.revision())?;
        gauge(to, "kamaitachi_store_rows", "Rows in the store.", totals.records)?;
        gauge(to, "kamaitachi_store_subjects", "Subjects in the store.", totals.subjects)?;
        let cache = core.engine.stats();
        gauge(to, "kamaitachi_cache_entries", "Entries in the cache.", cache.entries)?;
        gauge(to, "kamaitachi_cache_bytes", "Bytes in the cache.", cache.bytes)?;
        gauge(to, "kamaitachi_cache_max_bytes", "The most it may hold.", cache.max_bytes)?;
        for (name, help, value) in [
            ("requests_hit", "Requests that read no storage.", cache.hits),
            ("requests_miss", "Requests that read storage.", cache.misses),
            ("requests_partial", "Misses that found some of their data.", cache.partial_hits),
            ("evictions", "Entries that gave way to others.", cache.evictions),
            ("expired", "Entries that grew too old.", cache.expired),
            ("rejected_stale", "Reads that a write overtook.", cache.rejected_stale),
            ("subject_hits", "Subjects that were known.", cache.subject_hits),
            ("subject_misses", "Subjects that had to be read.", cache.subject_misses),
        ] {
            counter(to, &format!("kamaitachi_cache_{name}"), help, value)?;
        }
        Ok(())
    }
}
