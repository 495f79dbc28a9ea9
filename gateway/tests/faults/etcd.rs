//! An etcd that stands still for longer than leases live: when it goes on, all of them have ended.

use std::{process::Command, time::Duration};

use kamaitachi_discovery::testing::Etcd;
use tokio::time::Instant;

use crate::{
    cluster::{self, under_load},
    rig::until,
};

fn signal(etcd: &Etcd, name: &str) {
    let pid = etcd.pid().unwrap().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

#[test]
fn an_etcd_that_stands_still_while_leases_end_costs_no_reader_an_answer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let etcd = runtime.block_on(Etcd::start());
    let dir = tempfile::tempdir().unwrap();
    let (endpoint, members) = (etcd.endpoint(), dir.path().join("members.json"));
    let found = [("KAMAITACHI__ETCD__ENDPOINTS", &*endpoint), ("KAMAITACHI__ETCD__TTL", "2")];
    let _nodes = ["1.db", "2.db"].map(|name| {
        let mut command = Command::new(cluster::node_program());
        command.envs(found);
        cluster::node(command, &dir.path().join(name), "127.0.0.1", 0)
    });
    let mut command = Command::new(cluster::GATEWAY);
    command.envs(found).env("KAMAITACHI__DISCOVERY__CACHE", &members);
    // Probed often, as a node is vouched for only by a probe.
    command.env("KAMAITACHI__HEALTH__INTERVAL", "200ms");
    let gateway = cluster::gateway(command, &[], &[]);
    let health = || gateway.get("/health").json();
    until("the gateway has found both nodes", || health()["count"] == 2);
    let met = under_load(gateway.addr, |met| {
        met.more(100);
        for stands_still in [3, 5] {
            signal(&etcd, "STOP");
            let stopped = Instant::now();
            until("the leases have ended", || {
                stopped.elapsed() > Duration::from_secs(stands_still)
            });
            signal(&etcd, "CONT");
            cluster::until_both_are_registered(&gateway);
            met.more(100);
        }
    });
    println!("slowest of {} reads: {} ms", met.asked.into_inner(), met.slowest.into_inner());
    assert_eq!(met.failed.into_inner(), 0);
}
