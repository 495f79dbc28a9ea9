//! Disks that are full, fail, are slow, or take no writes: nothing is acknowledged that is not
//! stored, reads go on, and the node recovers by itself.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use crate::{
    node,
    rig::{
        Process,
        inject::{self, Injected},
        until,
    },
};

const SUBJECT: &str = "33:000001";

/// Writes rows until the node refuses, and gives how many it acknowledged.
fn fill(node: &Process) -> i64 {
    const STEP: i64 = 500;
    for at in 0.. {
        let answer = node::ingest(node, SUBJECT, at * STEP..(at + 1) * STEP);
        if answer.status != 200 {
            answer.refused(507, &["disk of this node is full", "nothing was written"]);
            assert_eq!(answer.header("retry-after"), Some("30"));
            return at * STEP;
        }
    }
    unreachable!("no disk is endless")
}

fn takes_writes_again(node: &Process) {
    until("the node tries the disk again by itself", || node::check(node, "writes").0);
    node.tells_once("the disk takes writes again");
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_is_used_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=4m tmpfs \"$0\"";
    let Some(command) = inject::mounted(dir.path(), mount, node::PROGRAM) else { return };
    let db = dir.path().join("node.db");
    let node = node::try_start(node::on(command, &db, &[])).unwrap();
    node::ingest(&node, "33:000002", 0..10).data();
    node.signal("USR2");
    until("a first snapshot is saved", || node.told("cache snapshot saved") == 1);
    let acknowledged = fill(&node);
    println!("{acknowledged} rows acknowledged before the disk was full");
    assert!(acknowledged > 0);
    // Reads go on, from the store and from the cache; the node stays in traffic.
    for _ in 0..2 {
        assert_eq!(node::income(&node, SUBJECT, acknowledged - 1), (acknowledged - 1) as f64);
    }
    assert_eq!(node.get("/readyz").status, 200);
    let (taken, why) = node::check(&node, "writes");
    assert!(!taken && why.contains("disk that holds the store is full"), "{why}");
    assert!(node.metric("kamaitachi_store_writable") == 0.0);
    // A snapshot that finds no room takes none of the older ones along.
    node.signal("USR2");
    until("the second snapshot fails", || node.told("no cache snapshot could be saved") == 1);
    let snapshots = node.sees(&dir.path().join("node.db.snapshots"));
    let files = || fs::read_dir(&snapshots).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(files().count(), 1, "{:?}", files().collect::<Vec<_>>());
    inject::remount(&node, dir.path(), "size=64m");
    takes_writes_again(&node);
    node::ingest(&node, SUBJECT, acknowledged..acknowledged + 500).data();
    assert_eq!(node::records(&node), 10 + acknowledged.unsigned_abs() + 500);
    let mut check = inject::beside(&node);
    let checked = check.args([node::PROGRAM, "check", "--db"]).arg(&db).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// Whatever fails, a write that meets it is not acknowledged and never seen, reads go on, and
/// once the disk is well again all that was acknowledged is there, after a kill too.
fn refuses_while(calls: &str, error: &str) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let node = node::start(&db, &[]);
    node::ingest(&node, SUBJECT, 0..10).data();
    let Some(injected) = Injected::into(&node, calls, &format!("error={error}")) else { return };
    for _ in 0..3 {
        let refused = node::ingest(&node, SUBJECT, 10..20);
        refused.refused(503, &["disk of this node failed", "nothing was written"]);
        assert_eq!(refused.header("retry-after"), Some("1"));
        let (taken, why) = node::check(&node, "writes");
        assert!(!taken && why.contains("disk that holds the store failed"), "{why}");
        // The newest up to 15 is still the 9th.
        assert_eq!(node::income(&node, SUBJECT, 15), 9.0);
    }
    assert_eq!(node.get("/readyz").status, 200);
    drop(injected);
    takes_writes_again(&node);
    node::ingest(&node, SUBJECT, 20..30).data();
    node.kill();
    let again = node::start(&db, &[]);
    assert_eq!(node::records(&again), 20);
    assert_eq!(node::income(&again, SUBJECT, 15), 9.0);
    assert_eq!(node::income(&again, SUBJECT, 99), 29.0);
    let (code, report) = node::tool(&["check", "--db", db.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report}");
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_until_another_write_was_synced() {
    refuses_while("fsync,fdatasync", "EIO");
}

#[test]
fn a_file_system_that_turns_read_only_refuses_writes_and_keeps_reads() {
    refuses_while("pwrite64", "EROFS");
}

#[test]
fn a_node_does_not_start_on_a_read_only_file_system_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    assert!(node::start(&db, &[]).signal_and_end("TERM").success());
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\"";
    let Some(command) = inject::mounted(dir.path(), mount, node::PROGRAM) else { return };
    let ended = node::try_start(node::on(command, &db, &[])).unwrap_err();
    let said = ended.error();
    assert!(said.contains("node.db") && said.contains("Read-only"), "{said}");
}

#[test]
fn reads_do_not_wait_for_a_slow_disk() {
    let dir = tempfile::tempdir().unwrap();
    let node = node::start(&dir.path().join("node.db"), &[]);
    node::ingest(&node, SUBJECT, 0..100).data();
    // Each sync takes four seconds more.
    let slow = Injected::into(&node, "fsync,fdatasync", "delay_exit=4000000");
    let Some(_slow) = slow else { return };
    let written = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            node::ingest(&node, SUBJECT, 100..200).data();
            written.store(true, SeqCst);
        });
        // From the store, each at a date that was not asked before.
        for date in 1..11 {
            assert_eq!(node::income(&node, SUBJECT, date), date as f64);
        }
        assert!(!written.load(SeqCst), "the reads were first");
    });
    assert_eq!(node::income(&node, SUBJECT, 150), 150.0);
}

/// How many syncs of the write-ahead log `writes` acknowledged writes took.
fn syncs(db: &Path, sync: &str, writes: i64) -> Option<usize> {
    let node = node::start(db, &[("KAMAITACHI__DATABASE__SYNC", sync)]);
    let file = db.with_extension("trace");
    let recorded = Injected::record(&node, "fsync,fdatasync", &file)?;
    for date in 0..writes {
        node::ingest(&node, SUBJECT, date..date + 1).data();
    }
    drop(recorded);
    let trace = fs::read_to_string(file).unwrap();
    Some(trace.lines().filter(|line| line.contains("-wal>") && line.contains("= 0")).count())
}

#[test]
fn a_master_syncs_every_write_before_it_acknowledges_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(full) = syncs(&dir.path().join("full.db"), "full", 20) else { return };
    println!("{full} syncs for 20 writes");
    assert!(full >= 20, "{full}");
    let normal = syncs(&dir.path().join("normal.db"), "normal", 20);
    assert!(normal.unwrap() <= 1, "{normal:?}");
}
