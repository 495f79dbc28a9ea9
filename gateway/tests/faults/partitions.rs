//! Networks that lose what is sent, silently. Each test runs in a network of its own.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{self, under_load},
    network::{FAR, Far, alone},
    rig::{Process, http, until},
};

/// A gateway with one node beside it and one far away, which is cut off as `cut` does it.
fn survives(cut: impl Fn(&Far)) {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new();
    let beside = Command::new(cluster::node_program());
    let beside = cluster::node(beside, &dir.path().join("1.db"), "127.0.0.1", 0);
    let mut there = far.command();
    there.arg(cluster::node_program());
    let there = cluster::node(there, &dir.path().join("2.db"), FAR, 8081);
    let looks =
        [("KAMAITACHI__HEALTH__INTERVAL", "200ms"), ("KAMAITACHI__HEALTH__TIMEOUT", "500ms")];
    let gateway = Command::new(cluster::GATEWAY);
    let gateway = cluster::gateway(gateway, &[beside.addr, there.addr], &looks);
    let asked = |addr| {
        (0..8).any(|n| {
            cluster::read(gateway.addr, n).is_some_and(|answer| cluster::by(&answer) == addr)
        })
    };
    until("the far node is asked", || asked(there.addr));
    let met = under_load(gateway.addr, |met| {
        met.more(100);
        cut(&far);
        met.more(300);
        until("the far node is left alone", || !asked(there.addr));
        far.heal();
        until("the far node is asked again", || asked(there.addr));
    });
    assert_eq!(met.failed(), 0, "{met:?}");
    let slowest = Duration::from_millis(met.slowest.into_inner());
    println!("slowest of {} reads: {slowest:?}", met.asked.into_inner());
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");
}

#[test]
fn a_node_that_nothing_reaches_costs_no_reader_an_answer() {
    alone("partitions::to_the_node");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn to_the_node() {
    survives(|_| Far::lose_what_goes_there());
}

#[test]
fn a_node_whose_answers_are_lost_costs_no_reader_an_answer() {
    alone("partitions::from_the_node");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn from_the_node() {
    survives(Far::lose_what_comes);
}

#[test]
fn a_node_cut_off_both_ways_costs_no_reader_an_answer() {
    alone("partitions::both_ways");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn both_ways() {
    survives(|far| {
        Far::lose_what_goes_there();
        far.lose_what_comes();
    });
}

/// A process that is killed when it drops.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node here that is told of others by `more`.
fn node(dir: &Path, name: &str, more: &[(&str, &str)]) -> Process {
    let mut command = Command::new(cluster::node_program());
    command.envs(more.iter().copied());
    cluster::node(command, &dir.join(name), "127.0.0.1", 0)
}

#[test]
fn an_etcd_that_is_cut_off_costs_no_reader_an_answer_and_nodes_register_again() {
    alone("partitions::from_etcd");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn from_etcd() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new();
    let [clients, peers] = [2379, 2380].map(|port| format!("http://{FAR}:{port}"));
    let mut etcd = far.command();
    etcd.args(["etcd", "--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.args(["--initial-cluster", &format!("default={peers}"), "--data-dir"]);
    etcd.arg(dir.path().join("etcd")).stderr(std::process::Stdio::null());
    let _etcd = Killed(etcd.spawn().unwrap());
    let endpoint = format!("{FAR}:2379");
    let found = [("KAMAITACHI__ETCD__ENDPOINTS", &*endpoint), ("KAMAITACHI__ETCD__TTL", "2")];
    let _nodes = ["1.db", "2.db"].map(|name| node(dir.path(), name, &found));
    let cache = dir.path().join("members.json");
    let mut command = Command::new(cluster::GATEWAY);
    command.envs(found).env("KAMAITACHI__DISCOVERY__CACHE", &cache);
    let gateway = cluster::gateway(command, &[], &[]);
    let health = || gateway.get("/health").json();
    until("the gateway has found both nodes", || health()["count"] == 2);
    let met = under_load(gateway.addr, |met| {
        met.more(100);
        Far::lose_what_goes_there();
        far.lose_what_comes();
        // Longer than the leases live.
        let cut = Instant::now();
        until("the leases have ended", || {
            assert_eq!(health()["count"], 2, "while nothing is told both stay on the ring");
            cut.elapsed() > Duration::from_secs(5)
        });
        far.heal();
        cluster::until_both_are_registered(&gateway);
        met.more(100);
    });
    println!("slowest of {} reads: {} ms", met.asked.into_inner(), met.slowest.into_inner());
    assert_eq!(met.failed.into_inner(), 0);
}

#[test]
fn a_slave_that_is_cut_off_from_its_master_serves_and_follows_again() {
    alone("partitions::from_the_master");
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn from_the_master() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new();
    let mut master = far.command();
    master.arg(cluster::node_program()).arg("--db").arg(dir.path().join("master.db"));
    master.env("KAMAITACHI__SERVER__HOST", FAR).env("KAMAITACHI__SERVER__PORT", "8080");
    let master = Process::start(master, "\"node serves\"", "address").unwrap();
    let write = |value: u32| {
        let row = json!({"subject": "33:1", "report_date": 1, "data": {"operating_income": value}});
        let head = [("content-type", "application/x-ndjson")];
        master.post_with("/kamaitachi/api/data/v1/ingest", &head, &row.to_string()).data();
    };
    write(1);
    let mut slave = Command::new(cluster::node_program());
    slave.arg("--db").arg(dir.path().join("slave.db")).env("KAMAITACHI__SERVER__MODE", "slave");
    slave.env("KAMAITACHI__SERVER__PORT", "0");
    slave.env("KAMAITACHI__REPLICATION__MASTER", format!("{FAR}:8080"));
    let slave = Process::start(slave, "\"node serves\"", "address").unwrap();
    let reads = |value: u32| {
        let ask = r#"{"subjects": "33:1", "ids": "operating_income"}"#;
        let path = "/kamaitachi/api/data/v1/snapshot";
        let answer = http::ask(slave.addr, "POST", path, &[], ask).expect("the slave answers");
        answer.data()[0]["data"]["operating_income"] == f64::from(value)
    };
    until("the slave has what was written", || reads(1));
    Far::lose_what_goes_there();
    far.lose_what_comes();
    let cut = Instant::now();
    until("it has served for a while", || {
        assert!(reads(1), "as before");
        cut.elapsed() > Duration::from_secs(3)
    });
    assert_eq!(slave.get("/readyz").status, 200);
    far.heal();
    write(2);
    let healed = Instant::now();
    until("it follows again", || reads(2));
    println!("in step {:?} after the first write", healed.elapsed());
}
