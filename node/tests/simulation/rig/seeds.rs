//! One scenario, many seeds, two of them at a time on two cores.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

/// Runs a scenario for so many seeds, or as many as `KAMAITACHI_SEEDS` says, from 0, or for the one in `KAMAITACHI_SEED` alone. Gives what each found.
pub(crate) fn each<T: Send>(test: &str, seeds: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (first, end) = match number("KAMAITACHI_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("KAMAITACHI_SEEDS").unwrap_or(seeds)),
    };
    let next = AtomicU64::new(first);
    let work = || {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                return Ok(found);
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(one) => found.push(one),
                Err(_) => {
                    // The others end with the seed they are at.
                    next.store(end, Relaxed);
                    return Err(seed);
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Vec<T>, u64>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut all = Vec::new();
    for result in results {
        match result {
            Ok(found) => all.extend(found),
            Err(seed) => panic!(
                "seed {seed} fails, see above; again: \
                 KAMAITACHI_SEED={seed} cargo test -p kamaitachi-node --test simulation {test}"
            ),
        }
    }
    all
}

/// Whether all seeds run, so that what should happen in some of them can be asked for.
pub(crate) fn all_run() -> bool {
    ["KAMAITACHI_SEED", "KAMAITACHI_SEEDS"].iter().all(|name| std::env::var_os(name).is_none())
}
