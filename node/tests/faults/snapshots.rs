//! Snapshot files of a node that is killed while it writes them.

use std::{fs, path::Path, thread, time::Duration};

use crate::{node, rig::until};

/// As a number, or this many.
fn rounds(otherwise: u64) -> u64 {
    std::env::var("KAMAITACHI_ROUNDS").map_or(otherwise, |text| text.parse().unwrap())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_node_killed_while_it_saves_its_cache_loads_the_newest_whole_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let mut node = node::start(&db, &[]);
    for subject in 0..200 {
        let subject = format!("33:{subject:06}");
        node::ingest(&node, &subject, 1..101).data();
        assert_eq!(node::income(&node, &subject, 50), 50.0);
    }
    node.signal("USR2");
    until("a first snapshot is saved", || node.told("cache snapshot saved") == 1);
    for round in 0..rounds(12) {
        node.signal("USR2");
        thread::sleep(Duration::from_micros(round * 997 % 12_000));
        node.kill();
        node = node::start(&db, &[]);
        let loaded = node::check(&node, "snapshot").1;
        assert!(loaded.contains("200 "), "round {round}: {loaded}");
        // What is known is known: nothing is read for it.
        let reads = || node.metric("kamaitachi_store_reads_total");
        let before = reads();
        assert_eq!(node::income(&node, "33:000007", 50), 50.0);
        assert_eq!(reads(), before, "round {round}");
        let names = names(&dir.path().join("node.db.snapshots"));
        let whole = names.iter().filter(|name| name.ends_with(".snapshot")).count();
        assert!(whole >= 1 && whole == names.len(), "round {round}: {names:?}");
    }
}
