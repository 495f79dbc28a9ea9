//! What the cache says it takes beside what the process grew by, under the allocator that the node
//! runs with; and how long it takes to save and to load. Exits 1 where the process grew by more
//! than 1.3 times what the cache says.
//!
//! `cargo bench -p kamaitachi-node --bench memory`

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up its world has nothing to tell")]

mod figures;

use std::{process::ExitCode, sync::Arc};

use figures::{Figures, period, snapshot, subjects};
use kamaitachi_node::{
    cache::{
        CacheLimits,
        snapshot::{SnapshotFiles, SnapshotOptions},
    },
    query::{Engine, SortField},
};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most that the process may grow by, in hundredths of what the cache says.
const MOST: u64 = 130;

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// Asks for many subjects, a few at a time and in several steps, so that maps are merged as they
/// are in life.
async fn fill(engine: &Engine<Figures>, count: usize, figures: Figures) {
    for first in (0..count).step_by(10) {
        let scope = subjects(first..first + 10);
        for of in [&[0_u16, 1][..], &[2], &[3, 4, 5]] {
            if figures.rows == 1 {
                let query = snapshot(scope.clone(), of, SortField::Subject);
                engine.snapshot(&query).await.unwrap();
            } else {
                engine.period(&period(scope.clone(), of, figures.end())).await.unwrap();
            }
        }
    }
}

/// Saves and loads, with and without compression, and says how long it took.
async fn save_and_load(engine: &Engine<Figures>, figures: Figures, limits: CacheLimits) {
    for compress in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let options = SnapshotOptions { dir: path, keep: 1, compress, key: None };
        let files = Arc::new(SnapshotFiles::new(options));
        let start = Instant::now();
        let saved = engine.save(&files).await.unwrap();
        let saving = start.elapsed();
        let start = Instant::now();
        let restored = Engine::new(figures, limits).restore(&files).await;
        let kind = if compress { "packed" } else { "plain" };
        println!(
            "    {kind}: {} MiB saved in {saving:.1?}, {} subjects loaded in {:.1?}",
            saved.bytes >> 20,
            restored.entries,
            start.elapsed(),
        );
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limits = CacheLimits { max_bytes: 1 << 30, ..CacheLimits::default() };
    let mut kept = Vec::new();
    let mut worst = 0;
    // What is freed is used again, which would make the next round look too good: so first fill
    // all, then save and load.
    for (rows, count) in [(1, 300_000), (40, 40_000), (1_000, 2_500)] {
        let figures = Figures { rows };
        let before = resident();
        let engine = Engine::new(figures, limits);
        runtime.block_on(fill(&engine, count, figures));
        let grown = resident().saturating_sub(before);
        let held = engine.stats().bytes;
        let ratio = grown * 100 / held.max(1);
        println!(
            "{count} subjects of {rows} rows: the cache says {} MiB, the process grew by {} MiB: {}.{:02}",
            held >> 20,
            grown >> 20,
            ratio / 100,
            ratio % 100,
        );
        worst = worst.max(ratio);
        kept.push((count, figures, engine));
    }
    for (count, figures, engine) in &kept {
        println!("{count} subjects of {} rows", figures.rows);
        runtime.block_on(save_and_load(engine, *figures, limits));
    }
    if worst > MOST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
