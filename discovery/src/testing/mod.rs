//! A real etcd for tests.
//!
//! Every [`Etcd`] is a process of its own, with free ports on loopback and its own data in a temporary directory, and
//! ends with its value. Needs Debian's `etcd-server`, see [`Etcd::PROGRAM`].

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use etcd_client::Client;
use tempfile::TempDir;

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    dir: TempDir,
    addr: SocketAddr,
    peer: SocketAddr,
    child: Option<Child>,
}

/// Longer than any start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

impl Etcd {
    /// The program.
    pub const PROGRAM: &str = "/usr/bin/etcd";

    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// Where there is no etcd, or it does not start; the message says what to do.
    pub async fn start() -> Self {
        let mut etcd = Self {
            dir: tempfile::tempdir().expect("a temporary directory can be made"),
            addr: free(),
            peer: free(),
            child: None,
        };
        etcd.restart().await;
        etcd
    }

    /// `HOST:PORT` for clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.addr.to_string()
    }

    /// Settings for it.
    #[must_use]
    pub fn settings(&self) -> crate::etcd::Settings {
        crate::etcd::Settings::new([self.endpoint()])
    }

    /// A client of it.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn client(&self) -> Client {
        Client::connect([self.endpoint()], None).await.expect("etcd answers")
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Loses everything it holds. To be called while it does not run.
    ///
    /// # Panics
    /// While it runs.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "etcd runs");
        let _ = std::fs::remove_dir_all(self.data());
    }

    /// Starts it again, with the same addresses and what is left of its data, and waits until it answers.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) {
        self.kill();
        // A port that was free may have been taken by another test meanwhile.
        for last in [false, false, true] {
            self.child = Some(self.spawn());
            if self.answers().await {
                return;
            }
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let said: Vec<_> = log.lines().rev().take(15).collect();
            assert!(!last, "etcd does not start; it said (last line first):\n{}", said.join("\n"));
        }
    }

    fn spawn(&self) -> Child {
        assert!(
            Path::new(Self::PROGRAM).exists(),
            "{} is missing: install it with `.ci/install etcd-server` (Debian), `make test` does so",
            Self::PROGRAM
        );
        let (client, peer) = (format!("http://{}", self.addr), format!("http://{}", self.peer));
        let log = File::create(self.dir.path().join("log")).expect("the log can be made");
        Command::new(Self::PROGRAM)
            .args(["--name", "test", "--logger", "zap", "--log-level", "warn"])
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd can be started")
    }

    async fn answers(&mut self) -> bool {
        let deadline = tokio::time::Instant::now() + START_WITHIN;
        while tokio::time::Instant::now() < deadline {
            let ended = self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().map_or(true, |status| status.is_some()));
            if ended {
                return false;
            }
            let asked = async {
                let mut client = Client::connect([self.endpoint()], None).await.ok()?;
                client.get("health", None).await.ok()
            };
            let answered = tokio::time::timeout(Duration::from_secs(1), asked).await;
            if matches!(answered, Ok(Some(_))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address that is free at the moment.
fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound listener has an address")
}
