//! Staying below a limit on memory: a process that the kernel ends for want of it answers nobody.
//!
//! What the process holds is looked at a few times a second, and held against the limit of the
//! configuration, else of the process's control group:
//!
//! | share | what is done |
//! |---|---|
//! | 80 % | the cache is made smaller, step by step, for as long as it lasts |
//! | 90 % | bulk writes are answered 503 with `Retry-After`; the cache halves at each step |
//! | 95 % | so are all queries and writes; health, metrics and statistics are answered |
//!
//! A measure ends five points below where it begins; the cache then grows back. After Envoy's
//! overload manager (<https://www.envoyproxy.io/docs/envoy/latest/configuration/operations/overload_manager/overload_manager>),
//! which has like thresholds and acts; ours shrinks first what can be read again.

mod limit;
mod pressure;
mod used;

use std::{
    path::Path,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

pub use pressure::Pressure;
use pressure::{Bound, Watermarks};

use crate::{api::App, store::Store};

/// How often memory is looked at. Freed pages go back to the system within some milliseconds, so
/// the next look sees what the last step brought.
const LOOK: Duration = Duration::from_millis(200);

/// What is known of the memory of this process. Reading never waits.
#[derive(Debug, Default)]
pub struct Memory {
    used: AtomicU64,
    /// 0 is none.
    limit: AtomicU64,
    pressure: AtomicU8,
}

impl Memory {
    /// How short of memory the process is.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        Pressure::ALL[usize::from(self.pressure.load(Relaxed)) % Pressure::ALL.len()]
    }

    /// Bytes held at the last look.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Bytes that may be held; `None` is without limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != 0)
    }
}

/// Keeps the node below `limit` bytes, else below the limit of its control group, for as long as
/// it is polled; returns at once where there is neither.
pub(crate) async fn keep_below(limit: Option<u64>, app: &App) {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = || limit::of_group(Path::new("/sys/fs/cgroup"), &own);
    let Some(limit) = limit.or_else(group) else { return };
    let memory = app.state().memory();
    memory.limit.store(limit, Relaxed);
    tracing::info!(limit, "memory is kept below a limit");
    let mut watermarks = Watermarks::new(limit);
    let mut bound: Option<Bound> = None;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let Some(used) = used::bytes() else { continue };
        let pressure = watermarks.look(used);
        memory.used.store(used, Relaxed);
        if memory.pressure.swap(pressure as u8, Relaxed) != pressure as u8 {
            tracing::warn!(used, limit, pressure = pressure.label(), "memory");
        }
        if pressure > Pressure::None {
            nudge();
        }
        if let Some(core) = app.core() {
            let held = core.engine.stats();
            let most = usize::try_from(held.max_bytes).unwrap_or(usize::MAX);
            let bound = bound.get_or_insert_with(|| Bound::new(most));
            if let Some(bytes) = bound.step(pressure, usize::try_from(held.bytes).unwrap_or(most)) {
                resize(&core.engine, bytes).await;
            }
        }
    }
}

/// Gives the allocator a reason to look for pages it can hand back: it does so only while it is
/// used, and a process that refuses everything hardly uses it.
fn nudge() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
}

/// Frees what is over where it keeps no other task waiting.
async fn resize(engine: &crate::query::Engine<Store>, bytes: usize) {
    let engine = engine.clone();
    let resized = tokio::task::spawn_blocking(move || engine.bound(bytes)).await;
    if let Err(error) = resized {
        tracing::error!(%error, "the cache could not be made smaller");
    }
}
