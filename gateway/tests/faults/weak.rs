//! Networks that work, but badly: they lose some, are slow, or narrow.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{self, under_load},
    network::{FAR, Far, alone},
    rig::{inject::skipped, until},
};

#[test]
fn a_network_that_loses_a_fifth_costs_no_reader_an_answer_and_no_storm_of_tries() {
    alone("weak::loses_a_fifth");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn loses_a_fifth() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new();
    let beside = Command::new(cluster::node_program());
    let beside = cluster::node(beside, &dir.path().join("1.db"), "127.0.0.1", 0);
    let mut there = far.command();
    there.arg(cluster::node_program());
    let there = cluster::node(there, &dir.path().join("2.db"), FAR, 8081);
    let gateway = Command::new(cluster::GATEWAY);
    let gateway = cluster::gateway(gateway, &[beside.addr, there.addr], &[]);
    let lose = ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "8081", "-m", "statistic"];
    let some = ["--mode", "random", "--probability", "0.2", "-j", "DROP"];
    let cut = far.command().args(lose).args(some).output();
    if !cut.is_ok_and(|cut| cut.status.success()) {
        skipped("this machine cannot lose packets by chance (iptables, its statistic module)");
        return;
    }
    let began = Instant::now();
    let met = under_load(gateway.addr, |met| met.more(1_000));
    // Second tries are a tenth of the requests, or ten a second, with one second of them saved up.
    let tries = cluster::sum(&gateway, "kamaitachi_upstream_tries_total");
    let asked = met.asked.load(Relaxed) as f64;
    let most = asked * 1.1 + (began.elapsed().as_secs_f64() + 1.0) * 10.0;
    let (middle, tail) = (met.percentile(50), met.percentile(99));
    println!(
        "{} of {asked} reads failed, {tries} tries, {middle} ms in the middle, 99 of 100 within {tail} ms",
        met.failed()
    );
    assert!(tries <= most, "{tries} tries for {asked} requests");
    assert_eq!(met.failed(), 0);
}

/// Passes connections on to a node, and keeps what it answers back for a while.
struct Late {
    addr: SocketAddr,
    /// Milliseconds.
    by: Arc<AtomicU64>,
}

impl Late {
    fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let late = Self { addr: listener.local_addr().unwrap(), by: Arc::default() };
        let by = Arc::clone(&late.by);
        // Ends with the test's process.
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(node) else { continue };
                let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || copy(near, far, &AtomicU64::new(0)));
                let by = Arc::clone(&by);
                thread::spawn(move || copy(ends.1, ends.0, &by));
            }
        });
        late
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, late: &AtomicU64) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(late.load(Relaxed)));
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Whoever is gone knows it.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn a_node_that_is_200_ms_late_costs_little_and_keeps_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let node = |n: u8| {
        let command = Command::new(cluster::node_program());
        cluster::node(command, &dir.path().join(format!("{n}.db")), "127.0.0.1", 0)
    };
    let (quick, slow) = (node(1), node(2));
    let late = Late::start(slow.addr);
    let command = Command::new(cluster::GATEWAY);
    let gateway = cluster::gateway(command, &[quick.addr, late.addr], &[]);
    let owners = || (0..8).map(|n| cluster::by(&cluster::read(gateway.addr, n).unwrap()));
    let before: Vec<_> = owners().collect();
    assert!(before.contains(&late.addr) && before.contains(&quick.addr), "{before:?}");
    // What is late is known from what was in time.
    under_load(gateway.addr, |met| met.more(500));

    late.by.store(200, Relaxed);
    let met = under_load(gateway.addr, |met| met.more(1_000));
    let (middle, tail) = (met.percentile(50), met.percentile(99));
    println!(
        "{} of {} reads failed, {middle} ms in the middle, 99 of 100 within {tail} ms",
        met.failed(),
        met.asked.load(Relaxed)
    );
    assert_eq!(met.failed(), 0);
    assert!(met.slowest.load(Relaxed) < 15_000, "{met:?}");

    late.by.store(0, Relaxed);
    until("every key is where it was", || owners().eq(before.iter().copied()));
}

const CLIENTS: usize = 8;

#[test]
fn clients_behind_a_narrow_line_hold_up_the_node_and_not_the_gateways_memory() {
    alone("weak::narrow");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn narrow() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new();
    let there = |program: &std::path::Path| {
        let mut command = far.command();
        command.arg(program);
        command
    };
    let db = dir.path().join("1.db");
    let sample = ["sample", "--stocks", "1500", "--from-year", "2015", "--to-year", "2020", "--db"];
    let made = Command::new(cluster::node_program()).args(sample).arg(&db).output();
    assert!(made.unwrap().status.success());
    let node = cluster::node(there(&cluster::node_program()), &db, "127.0.0.1", 8081);
    let mut command = there(std::path::Path::new(cluster::GATEWAY));
    command.env("KAMAITACHI__SERVER__HOST", FAR);
    let gateway = cluster::gateway(command, &[node.addr], &[]);
    let limit = ["tbf", "rate", "256kbit", "burst", "4kb", "latency", "2s"];
    let mut line = far.command();
    line.args(["tc", "qdisc", "add", "dev", "far", "root"]).args(limit);
    if !line.output().is_ok_and(|line| line.status.success()) {
        skipped("this machine cannot make a line narrow (tc, its token bucket filter)");
        return;
    }
    let ask = all_rows();
    let before = gateway.status("VmRSS");
    let clients: Vec<_> = (0..CLIENTS).map(|_| asking(gateway.addr, &ask)).collect();
    let (mut got, mut most) = ([0; CLIENTS], before);
    let began = Instant::now();
    // As much as the line carries in some seconds; an answer has a hundred times that.
    until("every client has a part, and some time is over", || {
        for (client, got) in clients.iter().zip(&mut got) {
            let mut bytes = [0; 64 << 10];
            if let Ok(read) = (&mut &*client).read(&mut bytes) {
                assert!(read > 0, "cut off after {got}");
                *got += read;
            }
        }
        most = most.max(gateway.status("VmRSS"));
        began.elapsed() > Duration::from_secs(8) && got.iter().all(|got| *got > 0)
    });
    let one = node_answer(&far, node.addr, &ask);
    println!(
        "{CLIENTS} answers of {} KiB, {} KiB of them taken, {} KiB more held by the gateway",
        one >> 10,
        got.iter().sum::<usize>() >> 10,
        most - before
    );
    assert!(one > 4 << 20, "{one} bytes are too few to show anything");
    assert!((most - before) << 10 < (CLIENTS * one / 4) as u64, "{} KiB more", most - before);
    // Others are served as fast as the line allows.
    drop(clients);
    until("others are served", || {
        cluster::read(gateway.addr, 1).is_some_and(|answer| answer.status == 200)
    });
}

/// A question with a long answer.
fn all_rows() -> String {
    json!({
        "topic": "stock_a_listing_pool", "from": 0, "to": 1_700_000_000,
        "ids": "operating_income,net_profit,operating_profit,total_profit,total_operating_cost"
    })
    .to_string()
}

/// A connection on which it was asked, and nothing was read.
fn asking(gateway: SocketAddr, ask: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).unwrap();
    let path = "/data/kamaitachi/api/data/v1/period";
    let length = ask.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + ask).as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// How long the whole answer is, asked for beside the node.
fn node_answer(far: &Far, node: SocketAddr, ask: &str) -> usize {
    let url = format!("http://{node}/kamaitachi/api/data/v1/period");
    let mut curl = far.command();
    curl.args(["curl", "-s", "-X", "POST", "--data", ask, &url]);
    curl.output().unwrap().stdout.len()
}
