//! The cluster: etcd, a master, slaves that follow it, gateways.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use kamaitachi_discovery::testing::Etcd;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::rig::{Process, http, process::run, until};

/// What the environment asks for, or this.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// How long a registration outlives its node.
pub(crate) fn ttl() -> Duration {
    Duration::from_secs(number("KAMAITACHI_TTL", 10))
}

/// A program of this workspace; those of this build are built where they are missing.
pub(crate) fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("KAMAITACHI_PROGRAMS") {
        // Tests run in the folder of their crate.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        return root.join(folder).join(name);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_kamaitachi-gateway")).with_file_name(name);
    if !program.exists() {
        run(env!("CARGO"), &["build", "--locked", "-p", name]);
    }
    program
}

/// Everything that runs; what is dropped is killed.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) etcd: Etcd,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) master: Process,
    /// Settings that all slaves have.
    more: Vec<(String, String)>,
}

impl Stage {
    /// etcd and a master with generated data about so many companies.
    pub(crate) fn new(stocks: u32, more: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let etcd = runtime.block_on(Etcd::start());
        let dir = tempfile::tempdir().unwrap();
        let mut sample = Command::new(program("kamaitachi-node"));
        sample.args(["sample", "--stocks", &stocks.to_string(), "--db"]);
        assert!(sample.arg(dir.path().join("master.db")).output().unwrap().status.success());
        let master = master(&etcd, dir.path(), 0);
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { runtime, etcd, master, more: more.collect(), dir }
    }

    /// The database of the master.
    pub(crate) fn db(&self) -> PathBuf {
        self.dir.path().join("master.db")
    }

    /// Starts the master again, where it was.
    pub(crate) fn master_again(&mut self) {
        self.master = master(&self.etcd, self.dir.path(), self.master.addr.port());
    }

    /// A slave with a database of its own; at a free port, or at one that it had before.
    pub(crate) fn slave(&self, number: usize, port: u16) -> Process {
        let mut command = node(&self.etcd, self.dir.path(), &format!("slave{number}"), port);
        command.env("KAMAITACHI__SERVER__MODE", "slave");
        command.env("KAMAITACHI__REPLICATION__MASTER", self.master.addr.to_string());
        command.envs(self.more.iter().cloned());
        Process::start(command, "\"node serves\"", "address").unwrap()
    }

    /// A gateway.
    pub(crate) fn gateway(&self) -> Process {
        self.gateway_at(0)
    }

    /// A gateway at this port, or at a free one.
    pub(crate) fn gateway_at(&self, port: u16) -> Process {
        let mut command = Command::new(program("kamaitachi-gateway"));
        command
            .env("KAMAITACHI__SERVER__PORT", port.to_string())
            .env("KAMAITACHI__ADMIN__PORT", "0");
        command.env("KAMAITACHI__ETCD__ENDPOINTS", self.etcd.endpoint());
        command.env("KAMAITACHI__DISCOVERY__CACHE", "");
        command.env("KAMAITACHI__RATE_LIMIT__ENABLED", "false");
        Process::start(command, "\"serving\"", "public").unwrap()
    }
}

fn node(etcd: &Etcd, dir: &Path, name: &str, port: u16) -> Command {
    let mut command = Command::new(program("kamaitachi-node"));
    command.arg("--db").arg(dir.join(format!("{name}.db")));
    command.env("KAMAITACHI__SERVER__PORT", port.to_string());
    command.env("KAMAITACHI__ETCD__ENDPOINTS", etcd.endpoint());
    command.env("KAMAITACHI__ETCD__TTL", ttl().as_secs().to_string());
    command.env("KAMAITACHI__CACHE__SNAPSHOT_PATH", dir.join(format!("{name}.cache")));
    command
}

fn master(etcd: &Etcd, dir: &Path, port: u16) -> Process {
    let command = node(etcd, dir, "master", port);
    Process::start(command, "\"node serves\"", "address").unwrap()
}

/// How many nodes the gateway has on its ring.
pub(crate) fn ring(gateway: &Process) -> Value {
    gateway.get("/health").json()["count"].clone()
}

/// Waits until the gateway has so many nodes.
pub(crate) fn until_ring(gateway: &Process, nodes: usize) {
    until(&format!("{nodes} nodes are on the ring"), || ring(gateway) == nodes);
}

/// Waits until a process says that it is ready.
pub(crate) fn until_ready(process: &Process) {
    until("it is ready", || {
        http::ask(process.addr, "GET", "/readyz", &[], "").is_some_and(|a| a.status == 200)
    });
}
