//! A gateway with two slaves behind it, each a process, and readers that never stop asking.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::rig::{Answer, Process, http, until};

pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_kamaitachi-gateway");
const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";

/// The node's program, which lies beside the gateway's.
pub(crate) fn node_program() -> PathBuf {
    let program = Path::new(GATEWAY).with_file_name("kamaitachi-node");
    if !program.exists() {
        // Only this crate was built for this test.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "-p", "kamaitachi-node"])
            .status();
        assert!(built.unwrap().success());
    }
    program
}

/// A slave on generated data; port 0 takes a free one.
pub(crate) fn node(mut command: Command, db: &Path, host: &str, port: u16) -> Process {
    if !db.exists() {
        let made = Command::new(node_program())
            .args(["sample", "--stocks", "50", "--from-year", "2020", "--to-year", "2020", "--db"])
            .arg(db)
            .output();
        assert!(made.unwrap().status.success());
    }
    command.arg("--db").arg(db).env("KAMAITACHI__SERVER__MODE", "slave");
    command.env("KAMAITACHI__SERVER__HOST", host);
    command.env("KAMAITACHI__SERVER__PORT", port.to_string());
    Process::start(command, "\"node serves\"", "address").unwrap()
}

/// A gateway in front of `nodes`, with these changes to its configuration.
pub(crate) fn gateway(
    mut command: Command,
    nodes: &[SocketAddr],
    more: &[(&str, &str)],
) -> Process {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    command.env("KAMAITACHI__UPSTREAM__NODES", nodes.join(","));
    command.env("KAMAITACHI__SERVER__PORT", "0").env("KAMAITACHI__ADMIN__PORT", "0");
    command.env("KAMAITACHI__RATE_LIMIT__ENABLED", "false").envs(more.iter().copied());
    Process::start(command, "\"serving\"", "public").unwrap()
}

/// Two nodes and a gateway.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Process>,
    pub(crate) gateway: Process,
    _dir: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = |n: u8| {
            let db = dir.path().join(format!("{n}.db"));
            node(Command::new(node_program()), &db, "127.0.0.1", 0)
        };
        let nodes: Vec<_> = [1, 2].into_iter().map(start).collect();
        let addrs: Vec<_> = nodes.iter().map(|node| node.addr).collect();
        let gateway = gateway(Command::new(GATEWAY), &addrs, more);
        Self { nodes, gateway, _dir: dir }
    }
}

/// Waits until etcd is believed again and has both nodes. Until then the ring may be half, and never empty.
pub(crate) fn until_both_are_registered(gateway: &Process) {
    until("etcd is believed again, and has both nodes", || {
        let health = gateway.get("/health").json();
        assert_ne!(health["count"], 0, "{health}");
        health["discovery"]["connected"] == true
            && health["discovery"]["held"].is_null()
            && health["count"] == 2
    });
}

/// A read whose owner changes with `n`; `None` where the connection gave no whole answer.
pub(crate) fn read(gateway: SocketAddr, n: u64) -> Option<Answer> {
    let ask = json!({"subjects": format!("33:{:08}", 9 + n % 8), "ids": "operating_income"});
    http::ask(gateway, "POST", SNAPSHOT, &[], &ask.to_string())
}

/// The sum of a metric of the gateway over all its labels.
pub(crate) fn sum(gateway: &Process, name: &str) -> f64 {
    let said = gateway.said();
    let line = said.iter().find(|line| line.contains("\"serving\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    let admin = event["admin"].as_str().unwrap().parse().unwrap();
    let text = http::ask(admin, "GET", "/metrics", &[], "").unwrap().body;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Which node answered.
pub(crate) fn by(answer: &Answer) -> SocketAddr {
    answer.header("x-kamaitachi-node").unwrap().parse().unwrap()
}

/// What readers met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) asked: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Milliseconds.
    pub(crate) slowest: AtomicU64,
    /// Of each read, in no order.
    times: Mutex<Vec<u64>>,
}

impl Met {
    /// Waits until readers have asked so many times more.
    pub(crate) fn more(&self, times: u64) {
        let mut asked = self.asked.load(Relaxed);
        let enough = asked + times;
        while asked < enough {
            // However slow the machine is, they may not stand still.
            until("readers go on", || self.asked.load(Relaxed) > asked);
            asked = self.asked.load(Relaxed);
        }
    }

    /// How many milliseconds so many of a hundred took at most.
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        let mut times = self.times.lock();
        times.sort_unstable();
        times[(times.len() * percent / 100).min(times.len() - 1)]
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// Runs `during` while four readers ask without a pause.
pub(crate) fn under_load(gateway: SocketAddr, during: impl FnOnce(&Met)) -> Met {
    let (met, over) = (Met::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let n = met.asked.fetch_add(1, Relaxed);
                    let began = Instant::now();
                    let answer = read(gateway, n);
                    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
                    met.slowest.fetch_max(took, Relaxed);
                    met.times.lock().push(took);
                    if answer.is_none_or(|answer| answer.status != 200) {
                        met.failed.fetch_add(1, Relaxed);
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        // Readers end also where this does not end well.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| during(&met)));
        over.store(true, Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    met
}
