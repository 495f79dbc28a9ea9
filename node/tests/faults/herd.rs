//! Many clients that want the same thing at the moment it is forgotten.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use serde_json::json;
use tokio::time::Instant;

use crate::{node, rig::until};

#[test]
fn a_herd_at_an_entry_that_expires_costs_one_read_each_time() {
    const HERD: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let node = node::start(&dir.path().join("node.db"), &[("KAMAITACHI__CACHE__TTL", "1")]);
    node::ingest(&node, "33:000001", 1..1_000).data();
    let ask = json!({"subjects": "33:000001", "ids": "operating_income", "from": 1, "to": 2_000});
    let ask = || node.post("/kamaitachi/api/data/v1/period", &ask.to_string());
    let whole = ask().data();
    let reads = || node.metric("kamaitachi_store_reads_total");
    let (before, began) = (reads(), Instant::now());
    let (enough, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..HERD {
            scope.spawn(|| {
                while !enough.load(Relaxed) {
                    assert_eq!(ask().data(), whole);
                    asked.fetch_add(1, Relaxed);
                }
            });
        }
        until("it expired twice under the herd", || {
            reads() >= before + 2.0 && asked.load(Relaxed) >= HERD as u64
        });
        enough.store(true, Relaxed);
    });
    // It expires once a second.
    let (reads, most) = (reads() - before, began.elapsed().as_secs_f64() + 1.0);
    println!("{reads} reads for {} requests", asked.load(Relaxed));
    assert!(reads <= most, "{reads} reads for {} requests, {most} expected", asked.load(Relaxed));
}
