//! A peer on the far side of a cable that is cut.

use std::{
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;

use super::on;
use crate::{
    network::{FAR, Far, HERE, alone},
    node::PROGRAM,
    rig::{Process, until},
};

const NEAR: [u16; 2] = [8001, 8002];
const THERE: u16 = 8003;

#[test]
fn sides_that_were_cut_off_agree_after_it_on_the_later_write_and_on_every_delete() {
    alone("group::partition::cut_and_healed");
}

/// The group, and how to talk to its peers from their own side.
struct Group {
    far: Far,
    peers: Vec<String>,
    _processes: Vec<Process>,
}

impl Group {
    fn start() -> Self {
        let far = Far::new();
        let mut peers: Vec<String> = NEAR.iter().map(|port| format!("{HERE}:{port}")).collect();
        peers.push(format!("{FAR}:{THERE}"));
        let nodes = peers.join(",");
        let with = |host| {
            [
                ("KAMAITACHI__PEERS__NODES", &*nodes),
                ("KAMAITACHI__SECURITY__TOKEN", "secret"),
                ("KAMAITACHI__SERVER__HOST", host),
            ]
        };
        let mut processes: Vec<_> =
            NEAR.iter().map(|port| on(Command::new(PROGRAM), *port, &with(HERE))).collect();
        let mut there = far.command();
        there.arg(PROGRAM);
        processes.push(on(there, THERE, &with(FAR)));
        Self { far, peers, _processes: processes }
    }

    /// A command at one of the peers, from its side: what it printed, or what it complained of.
    fn at(&self, peer: usize, words: &[&str]) -> Result<String, String> {
        let mut command = if peer == 2 { self.far.command() } else { Command::new(PROGRAM) };
        if peer == 2 {
            command.arg(PROGRAM);
        }
        command.args(["cli", &self.peers[peer]]).args(words);
        command.env("KAMAITACHI_GROUP_TOKEN", "secret");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
    }

    /// Whether a peer answers this; `None`: that there is no such key.
    fn is(&self, peer: usize, key: &str, wanted: Option<&str>) -> bool {
        match (self.at(peer, &["get", key]), wanted) {
            (Ok(value), Some(wanted)) => value == wanted,
            (Err(why), None) => why.contains("no such key"),
            _ => false,
        }
    }

    fn are_all(&self, key: &str, wanted: Option<&str>) -> bool {
        (0..3).all(|peer| self.is(peer, key, wanted))
    }

    fn leaves_the_far_alone(&self) -> bool {
        let said = self.at(0, &["--json", "peers"]).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        said["peers"].as_array().unwrap().iter().any(|peer| peer["state"] == "gone")
    }
}

#[test]
#[ignore = "run by the test above in a network of its own"]
fn cut_and_healed() {
    let group = Group::start();
    for key in ["gone", "kept", "both"] {
        until("all are there", || group.at(0, &["set", key, "old", "--wait", "all"]).is_ok());
    }
    Far::lose_what_goes_there();
    group.far.lose_what_comes();
    until("the far peer is left alone", || group.leaves_the_far_alone());
    // Each side goes on; the far one still has what was deleted here, and is the last to write one key.
    assert_eq!(group.at(1, &["del", "gone"]).unwrap(), "1");
    group.at(0, &["set", "both", "near"]).unwrap();
    group.at(0, &["set", "near", "1"]).unwrap();
    assert!(group.is(2, "gone", Some("old")));
    std::thread::sleep(Duration::from_millis(5));
    group.at(2, &["set", "both", "far"]).unwrap();
    group.at(2, &["set", "far", "1"]).unwrap();
    group.at(2, &["del", "kept"]).unwrap();
    assert!(group.is(1, "kept", Some("old")));
    group.far.heal();
    for (key, wanted) in [
        ("gone", None),
        ("kept", None),
        ("both", Some("far")),
        ("near", Some("1")),
        ("far", Some("1")),
    ] {
        until(&format!("{key} is {wanted:?} everywhere"), || group.are_all(key, wanted));
    }
    for peer in 0..3 {
        let stats: Value =
            serde_json::from_str(&group.at(peer, &["--json", "stats"]).unwrap()).unwrap();
        assert!(stats["max_hops"].as_u64().unwrap() <= 1, "{stats}");
    }
}
