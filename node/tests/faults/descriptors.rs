//! A node that runs out of file descriptors.

use std::{net::TcpStream, thread, time::Duration};

use crate::{
    node,
    rig::{http, process::run, until},
};

/// Lets a process have `files` open at a time, until it is told otherwise.
fn limit(pid: u32, files: usize) {
    run("prlimit", &["--pid", &pid.to_string(), &format!("--nofile={files}:")]);
}

#[test]
fn without_descriptors_a_node_serves_whom_it_has_rests_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    // On a busy machine those that wait have long waited when their turn comes.
    let patient = [("KAMAITACHI__LIMITS__HEAD_TIMEOUT", "10m")];
    let node = node::start(&dir.path().join("node.db"), &patient);
    node::ingest(&node, "33:000001", 1..10).data();
    let kept = TcpStream::connect(node.addr).unwrap();
    until("it has the connection", || node.metric("kamaitachi_node_connections ") >= 1.0);
    // Less than it has open: every new descriptor fails.
    limit(node.pid(), 3);
    let waiting: Vec<_> = (0..50).map(|_| TcpStream::connect(node.addr).unwrap()).collect();
    until("it fails to accept", || node.told("cannot accept connections") >= 1);
    let before = node.ticks();
    thread::sleep(Duration::from_secs(1));
    let spent = node.ticks() - before;
    println!("{spent} % of a processor spent on accepting");
    assert!(spent <= 20, "it spent {spent} % of a processor on trying");
    let body = r#"{"subjects":"33:000001","ids":"operating_income"}"#;
    let path = "/kamaitachi/api/data/v1/snapshot";
    let served = http::ask_on(kept, "POST", path, &[], body).expect("whom it has it serves");
    assert_eq!(served.data()[0]["data"]["operating_income"], 9.0);
    limit(node.pid(), 1_024);
    // Those that waited are served too.
    for stream in waiting {
        assert_eq!(http::ask_on(stream, "GET", "/health", &[], "").unwrap().status, 200);
    }
    node::ingest(&node, "33:000001", 10..20).data();
    assert!(node.metric("kamaitachi_node_accept_errors_total") >= 1.0);
}

#[test]
fn a_node_that_may_open_few_files_takes_fewer_connections_and_keeps_the_rest_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 128 && exec \"$@\"", "sh", node::PROGRAM]);
    let node = node::try_start(node::on(shell, &dir.path().join("node.db"), &[])).unwrap();
    node.tells_once("fewer connections");
    let mut held: Vec<_> = (0..64).map(|_| TcpStream::connect(node.addr).unwrap()).collect();
    until("it has as many as it may", || {
        // Who asks may overtake one that is held, which then finds no place: so there is one more each time.
        held.push(TcpStream::connect(node.addr).unwrap());
        let refused = http::ask(node.addr, "GET", "/health", &[], "");
        refused.is_some_and(|answer| answer.status == 503)
    });
    assert_eq!(node.told("cannot accept connections"), 0);
    drop(held);
    until("there is room again", || {
        http::ask(node.addr, "GET", "/health", &[], "").is_some_and(|answer| answer.status == 200)
    });
    node.signal("USR2");
    until("its own files go on", || node.told("cache snapshot saved") == 1);
}
