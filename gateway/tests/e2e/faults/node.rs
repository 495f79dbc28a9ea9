//! Data nodes as processes of their own: this test program, started once more.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kamaitachi_node::{
    Node,
    config::{Config, Role},
    sample::{self, SampleOptions},
};
use kamaitachi_serve::shutdown::Drain;

const DATABASE: &str = "KAMAITACHI_TEST_NODE_DATABASE";
const PORT: &str = "KAMAITACHI_TEST_NODE_PORT";
const SERVING: &str = "serving at ";

/// What a process does that was started to be a node; nothing where the tests themselves run.
#[tokio::test]
#[ignore = "started by other tests, as a process of its own"]
async fn be_a_node() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let drain = Drain::on_signals().unwrap();
    let mut config = Config::embedded(Role::Slave { master: None }, database);
    config.server.port = std::env::var(PORT).unwrap().parse().unwrap();
    config.server.workers = Some(1);
    let node = Node::start(config).await.unwrap();
    println!("\n{SERVING}{}", node.local_addr());
    drain.requested().await;
    node.drain(drain.stopped()).await;
}

/// A node process, killed when dropped.
pub(super) struct Process {
    child: Child,
    pub(super) addr: SocketAddr,
    database: PathBuf,
}

impl Process {
    /// A node with a small database in `dir`, on a free port.
    pub(super) fn start(dir: &Path, number: usize) -> Self {
        let database = dir.join(format!("node{number}.db"));
        let options = SampleOptions { stocks: 40, ..SampleOptions::new(&database) };
        sample::generate(&options, |_, _| {}).unwrap();
        Self::with(database, 0)
    }

    fn with(database: PathBuf, port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::node::be_a_node", "--ignored", "--nocapture"])
            .env(DATABASE, &database)
            .env(PORT, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find_map(|line| line.strip_prefix(SERVING).map(str::to_owned));
        let addr = said.expect("it says that it serves").parse().unwrap();
        // Whoever no longer listens would stop it at its next line.
        std::thread::spawn(move || lines.count());
        Self { child, addr, database }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Starts it again where it was.
    pub(super) fn again(mut self) -> Self {
        self.child.wait().unwrap();
        Self::with(std::mem::take(&mut self.database), self.addr.port())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
