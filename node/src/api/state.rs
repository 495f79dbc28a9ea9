//! Where a node is in its life, and what it then has to tell.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::UNIX_EPOCH,
};

use arc_swap::ArcSwapOption;
use kamaitachi_discovery::register::Standing;
use kamaitachi_serve::{
    framing::Violation,
    limits::{Counters, Phase, Refused},
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use tokio::{sync::watch, time::Instant};

use super::metrics::{counter, counters, gauge};
use crate::{
    memory::Memory, query::Engine, replication::Replication, snapshots::Snapshots, store::Store,
};

/// Where a node is in its life: starting, ready, draining.
#[derive(Debug)]
pub struct State {
    started: Instant,
    /// Exchanged as a whole where the file behind it is.
    core: ArcSwapOption<Core>,
    /// Sends when there is something to answer from.
    became_ready: watch::Sender<bool>,
    replication: OnceLock<Replication>,
    connections: OnceLock<Arc<Counters>>,
    /// Whether it registers, which takes until it is open.
    registers: AtomicBool,
    registration: OnceLock<watch::Receiver<Standing>>,
    draining: AtomicBool,
    memory: Memory,
}

/// What answers queries and takes writes.
#[derive(Debug)]
pub struct Core {
    /// The database.
    pub store: Store,
    /// The queries and their cache.
    pub engine: Engine<Store>,
    /// The files the cache is saved to.
    pub snapshots: Snapshots,
}

/// One line of `/readyz`.
#[derive(Debug, serde::Serialize)]
pub(super) struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            core: ArcSwapOption::empty(),
            became_ready: watch::Sender::new(false),
            replication: OnceLock::new(),
            connections: OnceLock::new(),
            registers: AtomicBool::new(false),
            registration: OnceLock::new(),
            draining: AtomicBool::new(false),
            memory: Memory::default(),
        }
    }

    /// From now on the node answers, from this.
    pub fn ready(&self, core: Core) {
        self.core.store(Some(Arc::new(core)));
        self.became_ready.send_replace(true);
    }

    /// From now on the node answers "not yet", until it is made ready again. Gives what it
    /// answered from; requests under way may still use it.
    pub fn unready(&self) -> Option<Arc<Core>> {
        self.core.swap(None)
    }

    /// Whether the node is to be registered before it takes traffic.
    pub fn registers(&self, registers: bool) {
        self.registers.store(registers, Relaxed);
    }

    /// Resolves once the node has been ready. Cancel safe.
    pub async fn became_ready(&self) {
        // It cannot end before this state: who sends is in it.
        let _ = self.became_ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// From now on the node tells of its part in replication. Only the first call counts.
    pub fn replicates(&self, replication: Replication) {
        if self.replication.set(replication).is_err() {
            tracing::warn!("the node was given its part in replication twice");
        }
    }

    /// Its part in replication, if it has one.
    pub(super) fn replication(&self) -> Option<&Replication> {
        self.replication.get()
    }

    /// From now on the metrics tell of these connections too. Only the first call counts.
    pub fn connections(&self, counters: Arc<Counters>) {
        if self.connections.set(counters).is_err() {
            tracing::warn!("the node was given its connections twice");
        }
    }

    /// From now on the node takes traffic only once it has been registered. Only the first call counts.
    pub fn registration(&self, standing: watch::Receiver<Standing>) {
        if self.registration.set(standing).is_err() {
            tracing::warn!("the node was registered twice");
        }
    }

    /// How the node's registration stands; `None` where it registers itself nowhere.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.registration.get().map(|standing| standing.borrow().clone())
    }

    /// From now on the node says that it takes no more traffic, and answers what still comes.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// What is known of the memory of the process.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.core.load_full()
    }

    /// Seconds since the start.
    pub(super) fn uptime(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whether the node takes traffic, and why not.
    pub(super) fn checks(&self) -> (bool, Vec<Check>) {
        let core = self.core();
        let draining = self.draining.load(Relaxed);
        let detail = |done: Option<String>| done.unwrap_or_else(|| "not yet".to_owned());
        let sound = core.as_ref().is_some_and(|core| !core.store.is_damaged());
        let open = core.as_ref().map(|core| match core.store.is_damaged() {
            true => "the file is damaged".to_owned(),
            false => format!("open at revision {}", core.store.revision()),
        });
        let restored = core.as_ref().map(|core| core.snapshots.restored().to_string());
        let refused = core.as_ref().map(|core| core.store.refuses_writes());
        let applied = core.as_ref().map_or(0, |core| core.store.revision());
        let part = self.replication().map(|replication| replication.detail(applied));
        let mut checks = vec![
            Check { name: "store", ok: sound, detail: detail(open) },
            Check { name: "snapshot", ok: core.is_some(), detail: detail(restored) },
            Check {
                name: "writes",
                ok: matches!(refused, Some(None)),
                detail: detail(refused.map(|why| match why {
                    None => "taken".to_owned(),
                    Some(why) => format!("refused: {why}"),
                })),
            },
            Check {
                name: "traffic",
                ok: !draining,
                detail: if draining { "draining" } else { "taken" }.to_owned(),
            },
        ];
        if let Some(standing) = self.standing() {
            // A node that was found once goes on: who looks for it keeps it while etcd is away.
            let ok = standing.was_registered();
            checks.push(Check { name: "registration", ok, detail: told(&standing) });
        } else if self.registers.load(Relaxed) {
            let detail = "not yet".to_owned();
            checks.push(Check { name: "registration", ok: false, detail });
        }
        if let Some(detail) = part {
            // A master that cannot be reached takes no traffic away: what is there is served.
            checks.push(Check { name: "replication", ok: true, detail });
        }
        // Reads go on where writes do not, so that alone takes no traffic away.
        let ready = checks.iter().all(|check| check.ok || check.name == "writes");
        (ready, checks)
    }

    fn encode_registration(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(standing) = self.standing() else { return Ok(()) };
        let help = "Whether the node is registered in etcd.";
        gauge(to, "kamaitachi_node_registered", help, standing.registered.into())?;
        let help = "Times the node was registered in etcd.";
        counter(to, "kamaitachi_node_registrations", help, standing.times)?;
        let seen = standing.seen.and_then(|seen| seen.duration_since(UNIX_EPOCH).ok());
        gauge(
            to,
            "kamaitachi_node_registration_last_success_timestamp_seconds",
            "When etcd last confirmed the registration; 0 is never.",
            seen.unwrap_or_default().as_secs(),
        )
    }

    fn encode_memory(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(limit) = self.memory.limit() else { return Ok(()) };
        gauge(to, "kamaitachi_memory_limit_bytes", "The most the process may hold.", limit)?;
        gauge(to, "kamaitachi_memory_used_bytes", "What it held at last.", self.memory.used())?;
        let pressure = "0: none, 1: the cache shrinks, 2: no bulk writes, 3: no data requests.";
        gauge(to, "kamaitachi_memory_pressure", pressure, self.memory.pressure() as u64)
    }

    fn encode_connections(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(all) = self.connections.get() else { return Ok(()) };
        gauge(to, "kamaitachi_node_connections", "Connections open now.", all.open())?;
        counter(
            to,
            "kamaitachi_node_connections_accepted",
            "Connections accepted.",
            all.accepted(),
        )?;
        counter(
            to,
            "kamaitachi_node_accept_errors",
            "Times that accepting a connection failed.",
            all.accept_errors(),
        )?;
        counters(
            to,
            ("kamaitachi_node_connections_refused", "Connections refused, by reason."),
            "reason",
            Refused::ALL.map(|reason| (reason.label(), all.refused(reason))),
        )?;
        counters(
            to,
            ("kamaitachi_node_connections_timed_out", "Clients that were too slow, by phase."),
            "phase",
            Phase::ALL.map(|phase| (phase.label(), all.timed_out(phase))),
        )?;
        counters(
            to,
            ("kamaitachi_node_requests_malformed", "Requests refused unread, by reason."),
            "reason",
            Violation::ALL.map(|violation| (violation.label(), all.violations(violation))),
        )
    }
}

/// How a registration stands, in words.
fn told(standing: &Standing) -> String {
    match (&standing.trouble, standing.registered) {
        (_, true) => "in etcd".to_owned(),
        (Some(trouble), false) => format!("not in etcd: {trouble}"),
        (None, false) => "not in etcd yet".to_owned(),
    }
}

impl Core {
    fn encode(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.store.totals();
        gauge(to, "kamaitachi_store_revision", "Of the last write.", self.store.revision())?;
        gauge(to, "kamaitachi_store_rows", "Rows in the store.", totals.records)?;
        gauge(to, "kamaitachi_store_subjects", "Subjects in the store.", totals.subjects)?;
        let reads = "Reads of the store: what the cache did not know.";
        counter(to, "kamaitachi_store_reads", reads, self.store.reads())?;
        let writable = "Whether the disk took the last write, or a probe since.";
        let refused = self.store.refuses_writes().is_some();
        gauge(to, "kamaitachi_store_writable", writable, (!refused).into())?;
        let damaged = "Whether a damaged page was met since the start.";
        gauge(to, "kamaitachi_store_damaged", damaged, self.store.is_damaged().into())?;
        let cache = self.engine.stats();
        gauge(to, "kamaitachi_cache_entries", "Entries in the cache.", cache.entries)?;
        gauge(to, "kamaitachi_cache_bytes", "Bytes in the cache.", cache.bytes)?;
        gauge(to, "kamaitachi_cache_max_bytes", "The most it may hold.", cache.max_bytes)?;
        counters(
            to,
            ("kamaitachi_cache_requests", "Requests, by what the cache had of them."),
            "outcome",
            [
                ("hit", cache.hits),
                ("partial", cache.partial_hits),
                ("miss", cache.misses.saturating_sub(cache.partial_hits)),
            ],
        )?;
        counters(
            to,
            ("kamaitachi_cache_subjects", "Subjects of requests, by whether they were known."),
            "outcome",
            [("hit", cache.subject_hits), ("miss", cache.subject_misses)],
        )?;
        counters(
            to,
            ("kamaitachi_cache_evictions", "Entries dropped, by cause."),
            "cause",
            [("size", cache.evictions), ("expired", cache.expired)],
        )?;
        gauge(
            to,
            "kamaitachi_snapshot_last_success_timestamp_seconds",
            "When the cache was last saved; 0 is never.",
            self.snapshots.last_success(),
        )?;
        let (saved, failed) = self.snapshots.counts();
        counters(
            to,
            ("kamaitachi_snapshot_saves", "Times the cache was saved, by how it went."),
            "outcome",
            [("ok", saved), ("failed", failed)],
        )?;
        let stale = "Reads that a write overtook and that were not kept.";
        counter(to, "kamaitachi_cache_rejected_stale", stale, cache.rejected_stale)
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        let (ready, _) = self.checks();
        gauge(to, "kamaitachi_node_ready", "Whether the node takes traffic.", ready.into())?;
        let uptime = "Since the start of the node.";
        gauge(to, "kamaitachi_node_uptime_seconds", uptime, self.uptime())?;
        self.encode_memory(to)?;
        self.encode_connections(to)?;
        self.encode_registration(to)?;
        let core = self.core();
        if let Some(replication) = self.replication() {
            replication.encode(to, core.as_ref().map_or(0, |core| core.store.revision()))?;
        }
        core.map_or(Ok(()), |core| core.encode(to))
    }
}
