//! Cached answers: time and allocations from the typed query to the finished body.
//!
//! `cargo bench -p kamaitachi-node --bench query`

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up its world has nothing to tell")]

mod figures;

use std::{
    alloc::System,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use divan::{AllocProfiler, Bencher, black_box};
use figures::{Figures, MEMBERS, name, period, snapshot, subjects};
use futures_util::FutureExt;
use kamaitachi_node::{
    cache::{CacheLimits, lru::Lru},
    model::{IndicatorId, Subject},
    query::{Engine, Scope, SnapshotQuery, SortField, SubjectList},
};

#[global_allocator]
static ALLOC: AllocProfiler<System> = AllocProfiler::system();

fn main() {
    divan::main();
}

const FIGURES: Figures = Figures { rows: 40 };

/// An engine that knows the answers to all queries below.
static ENGINE: LazyLock<Engine<Figures>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let engine = Engine::new(FIGURES, CacheLimits::default());
    runtime.block_on(async {
        let topic = snapshot(Scope::Topic("all".into()), &[0, 1, 2], SortField::ReportDate);
        engine.snapshot(&topic).await.unwrap();
        let period = period(subjects(0..50), &[0, 1, 2], FIGURES.end());
        engine.period(&period).await.unwrap();
    });
    engine
});

fn answer_snapshot(bencher: Bencher<'_, '_>, query: &SnapshotQuery) {
    let engine = &*ENGINE;
    bencher.bench(|| {
        // Cached, so ready at once: no runtime is needed.
        let answer = engine.snapshot(black_box(query)).now_or_never();
        answer.expect("cached").expect("no store is read")
    });
}

#[divan::bench(args = [1, 2, 8, 50])]
fn cached_snapshot_of_three_indicators(bencher: Bencher<'_, '_>, count: usize) {
    answer_snapshot(bencher, &snapshot(subjects(0..count), &[0, 1, 2], SortField::ReportDate));
}

#[divan::bench]
fn cached_snapshot_of_a_topic_of_10000_by_income(bencher: Bencher<'_, '_>) {
    let income = SortField::Indicator(IndicatorId(0));
    answer_snapshot(bencher, &snapshot(Scope::Topic("all".into()), &[0, 1, 2], income));
}

#[divan::bench(args = [1, 2, 50])]
fn cached_period_of_three_indicators_and_40_rows(bencher: Bencher<'_, '_>, count: usize) {
    let engine = &*ENGINE;
    let query = period(subjects(0..count), &[0, 1, 2], FIGURES.end());
    bencher.bench(|| {
        let answer = engine.period(black_box(&query)).now_or_never();
        answer.expect("cached").expect("no store is read")
    });
}

#[divan::bench(args = [2, 50])]
fn list_of_subjects(bencher: Bencher<'_, '_>, count: usize) {
    let names: Vec<String> = (0..count).map(name).collect();
    bencher.bench(|| black_box(&names).iter().collect::<SubjectList>());
}

#[divan::bench]
fn lru_get(bencher: Bencher<'_, '_>) {
    #[expect(clippy::disallowed_methods, reason = "nothing here waits: any clock will do")]
    let now = Instant::now();
    let lru: Lru<Subject, Arc<usize>> = Lru::new(256 << 20);
    let names: Vec<Subject> = (0..MEMBERS).map(|i| name(i).into()).collect();
    for (i, name) in names.iter().enumerate() {
        lru.insert(name.clone(), Arc::new(i), 100, now + Duration::from_secs(60));
    }
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 7919) % MEMBERS;
        lru.get(black_box(&*names[at]), now)
    });
}
