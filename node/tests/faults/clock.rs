//! The clock of the wall jumps an hour ahead and two back while a node serves.

use std::{fs, path::PathBuf, time::SystemTime};

use crate::{
    node,
    rig::{Process, until},
};

/// Debian's package `faketime`, wherever it puts its library.
fn faketime() -> PathBuf {
    let dirs = fs::read_dir("/usr/lib").unwrap().flatten().map(|dir| dir.path());
    let name = "faketime/libfaketimeMT.so.1";
    let mut found = dirs.map(|dir| dir.join(name)).filter(|file| file.exists());
    found
        .next()
        .expect("libfaketime is missing: `make test` installs it, or `apt-get install faketime`")
}

/// How far the date of an answer is from the real one, in whole hours.
fn hours(node: &Process) -> i64 {
    let date = httpdate::parse_http_date(node.get("/health").header("date").unwrap()).unwrap();
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let ahead = seconds(date).cast_signed() - seconds(SystemTime::now()).cast_signed();
    (ahead + 1_800).div_euclid(3_600)
}

#[test]
fn a_clock_that_jumps_moves_the_date_alone() {
    let dir = tempfile::tempdir().unwrap();
    let offset = dir.path().join("offset");
    let jump = |to: &str| {
        let next = offset.with_extension("next");
        fs::write(&next, to).unwrap();
        fs::rename(next, &offset).unwrap();
    };
    jump("+0");
    let (library, file) = (faketime(), offset.to_str().unwrap());
    let limits = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("KAMAITACHI__LIMITS__IDLE_TIMEOUT", "30s"),
    ];
    let node = node::start(&dir.path().join("node.db"), &limits);
    node::ingest(&node, "33:000001", 1..10).data();
    assert_eq!(node::income(&node, "33:000001", 5), 5.0);
    let kept = std::net::TcpStream::connect(node.addr).unwrap();
    let known = |jumped: &str| {
        let answer = node::ask(&node, "33:000001", 5);
        assert_eq!(answer.header("x-kamaitachi-cache"), Some("hit"), "{jumped}");
        assert_eq!(answer.data()[0]["data"]["operating_income"], 5.0);
    };
    for (to, ahead) in [("+0", 0), ("+3600", 1), ("-3600", -1), ("+86400", 24), ("+0", 0)] {
        jump(to);
        until("the date of answers follows", || hours(&node) == ahead);
        // What is kept for an hour is kept for an hour of the clock that never jumps.
        known(to);
        node::ingest(&node, "33:000002", 1..10).data();
    }
    let kept = crate::rig::http::ask_on(kept, "GET", "/readyz", &[], "");
    assert_eq!(kept.expect("no connection timed out").status, 200);
    assert_eq!(node.metric("kamaitachi_cache_evictions_total{cause=\"expired\"}"), 0.0);
    node.signal("USR2");
    until("snapshots are saved", || node.told("cache snapshot saved") == 1);
    assert!(node.signal_and_end("TERM").success());
}
