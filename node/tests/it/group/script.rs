//! `make group` and `make group-stop`: separate processes that find each other through etcd.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::cli::cli;

/// The script with places of its own: free ports, an empty directory, the programs of this build.
struct Script {
    dir: tempfile::TempDir,
    ports: Vec<(&'static str, u16)>,
}

impl Script {
    fn new() -> Self {
        let names = [
            "PEER1_PORT",
            "PEER2_PORT",
            "PEER3_PORT",
            "ETCD_PORT",
            "ETCD_PEER_PORT",
            "ADMIN1_PORT",
            "ADMIN2_PORT",
            "ADMIN3_PORT",
        ];
        let held = names.map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap()));
        let ports = held.iter().map(|(name, held)| (*name, held.local_addr().unwrap().port()));
        Self { ports: ports.collect(), dir: tempfile::tempdir().unwrap() }
    }

    fn run(&self, what: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_kamaitachi-node"));
        let mut command = Command::new(root.join("conf/cluster/group"));
        command.arg(what).env("RUN", self.dir.path()).env("BIN", bin.parent().unwrap());
        command.env_remove("RUST_LOG");
        command.envs(self.ports.iter().map(|(name, port)| (name, port.to_string())));
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(status.success(), "{what}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn peer(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.ports[at].1)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Also where the test failed: nothing is left behind.
        self.run("stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_script_starts_what_it_says_and_ends_exactly_that() {
    let script = Script::new();
    let said = script.run("start");
    assert!(said.contains(&format!("The group runs: {}", script.peer(0))), "{said}");
    assert_eq!(script.run("status").matches(" runs, process ").count(), 4);
    let (first, third) = (script.peer(0), script.peer(2));
    // Whoever started last is known to the first soon.
    let mut peers = serde_json::Value::Null;
    while peers["peers"].as_array().map_or(0, Vec::len) < 3 {
        let (_, out, _) = cli(&[&first, "--json", "peers"], "").await;
        peers = serde_json::from_str(&out).unwrap();
    }
    let (code, out, err) = cli(&[&first, "set", "greeting", "hello", "--wait", "all"], "").await;
    assert_eq!((code, &*out), (0, "ok\n"), "{err}");
    assert_eq!(cli(&[&third, "get", "greeting"], "").await.1, "hello\n");
    script.run("stop");
    assert_eq!(script.run("status").matches(" does not run").count(), 4);
}
