//! A real etcd for tests.
//!
//! Every [`Etcd`] is a process of its own, with free ports on loopback and its own data in a temporary directory, and
//! ends with its value. Needs Debian's `etcd-server`, see [`Etcd::PROGRAM`].

mod certificates;

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub use certificates::{Authority, Pair};
use etcd_client::Client;
use tempfile::TempDir;

use crate::etcd::{Settings, Tls, connect};

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    dir: TempDir,
    addr: SocketAddr,
    peer: SocketAddr,
    secured: Option<Secured>,
    child: Option<Child>,
}

/// How a test's etcd is encrypted.
#[derive(Clone, Debug)]
pub struct Secured {
    /// Its certificate.
    pub server: Pair,
    /// The file of the certificate that its own and its clients' are signed with.
    pub ca: PathBuf,
    /// The certificate that the test itself shows it; asked of every client where there is one.
    pub client: Option<Pair>,
    /// A name in its certificate.
    pub domain: String,
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
        Self::start_with(None).await
    }

    /// As [`start`](Self::start), encrypted.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_secured(secured: Secured) -> Self {
        Self::start_with(Some(secured)).await
    }

    async fn start_with(secured: Option<Secured>) -> Self {
        let mut etcd = Self {
            dir: tempfile::tempdir().expect("a temporary directory can be made"),
            addr: free(),
            peer: free(),
            secured,
            child: None,
        };
        // A port that was free may be taken by the time etcd comes to it.
        for _ in 0..2 {
            if etcd.starts().await {
                return etcd;
            }
            (etcd.addr, etcd.peer) = (free(), free());
        }
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
    pub fn settings(&self) -> Settings {
        let tls = self.secured.as_ref().map(|secured| Tls {
            ca: Some(secured.ca.clone()),
            identity: secured.client.as_ref().map(|pair| (pair.cert.clone(), pair.key.clone())),
            domain: Some(secured.domain.clone()),
        });
        Settings { tls, ..Settings::new([self.endpoint()]) }
    }

    /// A client of it.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn client(&self) -> Client {
        self.client_of(&self.settings()).await
    }

    /// A client of it, with other settings than [its own](Self::settings).
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn client_of(&self, settings: &Settings) -> Client {
        connect(settings, &self.endpoint()).await.expect("etcd answers")
    }

    /// Makes a user `root` with this password, and asks every client for one from now on.
    ///
    /// # Panics
    /// If it does not answer, or has users already.
    pub async fn protect(&self, password: &str) {
        let mut client = self.client().await;
        let done = async {
            client.user_add("root", password, None).await?;
            client.role_add("root").await?;
            client.user_grant_role("root", "root").await?;
            client.auth_enable().await
        };
        done.await.expect("etcd takes users");
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
            if self.starts().await {
                return;
            }
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let said: Vec<_> = log.lines().rev().take(15).collect();
            assert!(!last, "etcd does not start; it said (last line first):\n{}", said.join("\n"));
        }
    }

    async fn starts(&mut self) -> bool {
        self.kill();
        self.child = Some(self.spawn());
        self.answers().await
    }

    fn spawn(&self) -> Child {
        assert!(
            Path::new(Self::PROGRAM).exists(),
            "{} is missing: install it with `.ci/install etcd-server` (Debian), `make test` does so",
            Self::PROGRAM
        );
        let scheme = if self.secured.is_some() { "https" } else { "http" };
        let (client, peer) = (format!("{scheme}://{}", self.addr), format!("http://{}", self.peer));
        let log = File::create(self.dir.path().join("log")).expect("the log can be made");
        let mut command = Command::new(Self::PROGRAM);
        if let Some(Secured { server, ca, client, .. }) = &self.secured {
            command.arg("--cert-file").arg(&server.cert).arg("--key-file").arg(&server.key);
            if client.is_some() {
                // Whoever names one asks for certificates, whether it says so or not.
                command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
            }
        }
        command
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
                let mut client = connect(&self.settings(), &self.endpoint()).await.ok()?;
                match client.get("health", None).await {
                    Ok(_) => Some(()),
                    // INVALID_ARGUMENT: it is there, and misses a name and a password.
                    Err(etcd_client::Error::GRpcStatus(status)) => {
                        (i32::from(status.code()) == 3).then_some(())
                    }
                    Err(_) => None,
                }
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
