//! The store alone: opening, cold reads, writes.
//!
//! `cargo bench -p kamaitachi-node --bench store`. The file is a sample of 200 subjects with 1,000
//! dates each; `KAMAITACHI_BENCH_STOCKS=10000` makes it ten million rows, and
//! `KAMAITACHI_BENCH_DB=FILE` keeps it for the next run.

use std::path::PathBuf;

use kamaitachi_node::{
    model::{Epoch, Subject},
    sample::{SampleOptions, generate},
    store::{Durability, Found, Need, Options, RowBatch, RowFacts, Rows, Store},
};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// A runtime and an open store.
struct Bench {
    runtime: Runtime,
    store: Store,
    subjects: Vec<Subject>,
    _dir: tempfile::TempDir,
}

fn database(dir: &tempfile::TempDir) -> PathBuf {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let stocks = number("KAMAITACHI_BENCH_STOCKS").unwrap_or(200);
    let path = std::env::var_os("KAMAITACHI_BENCH_DB")
        .map_or_else(|| dir.path().join("bench.db"), PathBuf::from);
    if !path.exists() {
        let rows = Some(u64::from(stocks) * 1_000);
        let options = SampleOptions { stocks, rows, ..SampleOptions::new(&path) };
        generate(&options, |_, _| {}).expect("a sample");
    }
    path
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { durability: Durability::Normal, ..Options::new(database(&dir)) };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (store, subjects) = runtime.block_on(async {
            let store = Store::open(options).await.expect("a store");
            let (_, subjects) =
                store.topic_members("stock_a_listing_pool").await.expect("subjects");
            (store, subjects)
        });
        Self { runtime, store, subjects, _dir: dir }
    }

    fn needs(&self, subjects: &[Subject], rows: Rows, indicators: usize) -> Vec<Need> {
        let known = self.store.indicators();
        let ids: Box<[_]> =
            known.names().iter().take(indicators).filter_map(|name| known.id(name)).collect();
        let need =
            |subject: &Subject| Need { subject: subject.clone(), rows, indicators: ids.clone() };
        subjects.iter().map(need).collect()
    }

    fn read(&self, needs: Vec<Need>) -> Vec<Found> {
        self.runtime.block_on(self.store.read(needs)).expect("an answer").1
    }
}

const ALL: Rows = Rows::Between { from: Epoch::MIN, to: Epoch::MAX };
const NEWEST: Rows = Rows::Newest { not_before: Epoch::MIN, at: Epoch::MAX };

/// From an existing file to the first answer possible.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn open(bencher: divan::Bencher<'_, '_>) {
    let bench = Bench::new();
    let dir = tempfile::tempdir().expect("a directory");
    let path = database(&dir);
    bencher.bench_local(|| {
        let options = Options { durability: Durability::Normal, ..Options::new(&path) };
        bench.runtime.block_on(Store::open(options)).expect("a store")
    });
}

/// One subject's 1,000 rows, another subject every time.
#[divan::bench(args = [1, 3, 6], sample_count = 500, sample_size = 1)]
fn period_of_one_subject(bencher: divan::Bencher<'_, '_>, indicators: usize) {
    let bench = Bench::new();
    let mut turn = 0;
    bencher
        .with_inputs(|| {
            // A step that is prime to any number of subjects here.
            turn = (turn + 7_919) % bench.subjects.len();
            bench.needs(&bench.subjects[turn..=turn], ALL, indicators)
        })
        .bench_local_values(|needs| bench.read(needs));
}

/// The newest row of every subject.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn newest_of_all_subjects(bencher: divan::Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher
        .with_inputs(|| bench.needs(&bench.subjects, NEWEST, 3))
        .bench_local_values(|needs| bench.read(needs));
}

/// Way there and back between a task and a reader thread, with hardly anything to read.
#[divan::bench(sample_count = 1_000, sample_size = 1)]
fn round_trip(bencher: divan::Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher
        .with_inputs(|| bench.needs(&bench.subjects[..1], NEWEST, 1))
        .bench_local_values(|needs| bench.read(needs));
}

/// Writes of one row each, so many at once.
#[divan::bench(args = [1, 16, 64], sample_count = 50, sample_size = 1)]
fn writes(bencher: divan::Bencher<'_, '_>, together: usize) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir_in(".").expect("a directory");
    let options = Options::new(dir.path().join("writes.db"));
    let store = runtime.block_on(Store::open(options)).expect("a store");
    let mut at = 0;
    bencher.counter(divan::counter::ItemsCount::new(together)).bench_local(|| {
        at += 1;
        let write = |n: usize| {
            let mut batch = RowBatch::default();
            batch.add(
                &format!("33:{n}"),
                at,
                &[("operating_income", Some(1.0))],
                RowFacts::default(),
            );
            store.ingest(batch, false)
        };
        let all = futures_util::future::join_all((0..together).map(write));
        runtime.block_on(all).into_iter().for_each(|written| assert!(written.is_ok()));
    });
}

/// One write of 10,000 rows into an empty store, per row.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn ingest(bencher: divan::Bencher<'_, '_>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir_in(".").expect("a directory");
    let options = Options::new(dir.path().join("writes.db"));
    let store = runtime.block_on(Store::open(options)).expect("a store");
    let mut from = 0;
    bencher
        .counter(divan::counter::ItemsCount::new(10_000_usize))
        .with_inputs(|| {
            let mut batch = RowBatch::default();
            from += 100;
            for (subject, at) in (0..100).flat_map(|s| (from..from + 100).map(move |at| (s, at))) {
                let values = [("operating_income", Some(1.5)), ("parent_holder_net_profit", None)];
                batch.add(&format!("33:{subject}"), at, &values, RowFacts::default());
            }
            batch
        })
        .bench_local_values(|batch| runtime.block_on(store.ingest(batch, false)).expect("written"));
}
