//! What a lookup costs: `cargo bench -p kamaitachi-policies --bench ring`.
//!
//! Divan counts allocations as well: a row without an `alloc` line made none.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, LoadBound, Ring, Spread};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const NODES: [u32; 3] = [2, 10, 100];

fn main() {
    divan::main();
}

fn ring(nodes: u32, spread: Spread) -> Ring {
    Ring::new((0..nodes).map(|n| format!("10.0.0.{n}:8081")), DEFAULT_REPLICAS, spread)
}

/// Subjects in no order, so that neither caches nor branch predictors know the next.
fn keys() -> Vec<String> {
    let mut random = 1_u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random
    };
    (0..4_096).map(|_| format!("33:{:06}", next() % 1_000_000)).collect()
}

/// Calls `look` with one key after the other.
fn each_key<T>(bencher: Bencher<'_, '_>, mut look: impl FnMut(&[u8]) -> T) {
    let keys = keys();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % keys.len();
        look(black_box(keys[at].as_bytes()))
    });
}

#[divan::bench(args = NODES)]
fn owner(bencher: Bencher<'_, '_>, nodes: u32) {
    let ring = ring(nodes, Spread::Plain);
    each_key(bencher, |key| ring.owner(key));
}

#[divan::bench(args = NODES)]
fn owner_mixed(bencher: Bencher<'_, '_>, nodes: u32) {
    let ring = ring(nodes, Spread::Mixed);
    each_key(bencher, |key| ring.owner(key));
}

#[divan::bench(args = NODES)]
fn first_three_successors(bencher: Bencher<'_, '_>, nodes: u32) {
    let ring = ring(nodes, Spread::Plain);
    each_key(bencher, |key| ring.successors(key).take(3).last());
}

#[divan::bench(args = NODES)]
fn owner_bounded(bencher: Bencher<'_, '_>, nodes: u32) {
    let ring = ring(nodes, Spread::Plain);
    let bound = LoadBound::percent(125).expect("above 100");
    each_key(bencher, |key| ring.owner_bounded(key, bound, |_| 3));
}

/// The hash alone: what of a lookup is CRC-32.
#[divan::bench]
fn hash_only(bencher: Bencher<'_, '_>) {
    each_key(bencher, |key| Spread::Plain.hash(key));
}

#[divan::bench(args = NODES)]
fn build(nodes: u32) -> Ring {
    ring(nodes, Spread::Plain)
}
