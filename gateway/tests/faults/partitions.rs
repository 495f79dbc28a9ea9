//! Networks that lose what is sent, silently.
//!
//! Each test runs in a network of its own, made of namespaces without a name that end with it; the
//! far node is behind a pair of virtual cables. A cable is cut by a wrong neighbour's address: what
//! is sent then is delivered to nobody, and nobody is told.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    cluster::{self, under_load},
    rig::{inject::skipped, process::run, until},
};

const HERE: &str = "10.9.0.1";
const FAR: &str = "10.9.0.2";

/// Runs a test of this program, one that is ignored otherwise, in a network of its own.
fn alone(test: &str) {
    for arguments in [&["--net"][..], &["--net", "--map-root-user"]] {
        let mut tried = Command::new("unshare");
        tried.args(arguments).args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
        if !tried.status().is_ok_and(|status| status.success()) {
            continue;
        }
        let ran = Command::new("unshare")
            .args(arguments)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
        print!("{told}");
        return;
    }
    skipped("this machine lets nobody make a network namespace (unshare --net, ip)");
}

/// The far end of the cable: a namespace that lives as long as this.
struct Far(Child);

impl Far {
    fn new() -> Self {
        run("ip", &["link", "set", "lo", "up"]);
        let holder = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let far = Self(holder);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("the far namespace is there", || {
            std::fs::read_link(format!("/proc/{}/ns/net", far.0.id())).is_ok_and(|net| net != own)
        });
        let id = far.0.id().to_string();
        run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &id]);
        run("ip", &["address", "add", &format!("{HERE}/30"), "dev", "near"]);
        run("ip", &["link", "set", "near", "up"]);
        far.ip(&["address", "add", &format!("{FAR}/30"), "dev", "far"]);
        far.ip(&["link", "set", "far", "up"]);
        far.ip(&["link", "set", "lo", "up"]);
        far
    }

    /// A command that runs its arguments there.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]);
        command
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(self.command().arg("ip").args(arguments).status().unwrap().success());
    }

    /// From now on what is sent there is lost.
    fn lose_what_goes_there() {
        let nobody = "02:00:00:00:00:99";
        run(
            "ip",
            &["neighbour", "replace", FAR, "lladdr", nobody, "dev", "near", "nud", "permanent"],
        );
    }

    /// From now on what it sends is lost.
    fn lose_what_comes(&self) {
        let nobody = "02:00:00:00:00:99";
        self.ip(&[
            "neighbour",
            "replace",
            HERE,
            "lladdr",
            nobody,
            "dev",
            "far",
            "nud",
            "permanent",
        ]);
    }

    /// All arrives again.
    fn heal(&self) {
        // Whatever was not cut has nothing to be healed.
        let _ = Command::new("ip").args(["neighbour", "delete", FAR, "dev", "near"]).output();
        let _ = self.command().args(["ip", "neighbour", "delete", HERE, "dev", "far"]).output();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
