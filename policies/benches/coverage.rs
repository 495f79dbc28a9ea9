//! What knowing the known costs: `cargo bench -p kamaitachi-policies --bench coverage`.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use kamaitachi_policies::coverage::{Coverage, Interval};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const YEAR: i64 = 31_557_600;
const RUNS: [i64; 3] = [1, 10, 1_000];

fn main() {
    divan::main();
}

/// Every other year, `runs` of them.
fn known(runs: i64) -> Coverage {
    (0..runs).filter_map(|n| Interval::new(2 * n * YEAR, (2 * n + 1) * YEAR)).collect()
}

#[divan::bench(args = RUNS)]
fn covers(bencher: Bencher<'_, '_>, runs: i64) {
    let known = known(runs);
    bencher.bench_local(|| known.covers(black_box((runs - 1) * YEAR), black_box(runs * YEAR)));
}

#[divan::bench(args = RUNS)]
fn missing_of_a_decade(bencher: Bencher<'_, '_>, runs: i64) {
    let known = known(runs);
    bencher.bench_local(|| known.missing(black_box(runs * YEAR), (runs + 10) * YEAR).count());
}

#[divan::bench(args = RUNS)]
fn insert_a_gap(bencher: Bencher<'_, '_>, runs: i64) {
    let known = known(runs);
    bencher.with_inputs(|| known.clone()).bench_local_refs(|known| {
        known.insert(black_box(YEAR), 2 * YEAR);
    });
}

#[divan::bench(args = RUNS)]
fn union(bencher: Bencher<'_, '_>, runs: i64) {
    let (left, right) = (known(runs), known(runs + 1));
    bencher.bench_local(|| black_box(&left).union(black_box(&right)));
}
