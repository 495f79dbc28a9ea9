//! Processes that are killed at random moments while writing.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::{assert_equal, directory, until};
use crate::support::{Client, INGEST, STATS, row};

/// A node as a process, killed when the test is over.
struct Process {
    db: PathBuf,
    port: u16,
    master: Option<u16>,
    child: Child,
}

impl Process {
    fn start(db: PathBuf, port: u16, master: Option<u16>) -> Self {
        let child = spawn(&db, port, master);
        Self { db, port, master, child }
    }

    fn client(&self) -> Client {
        Client::to(format!("127.0.0.1:{}", self.port))
    }

    fn kill(&mut self) {
        // SIGKILL: it cannot tidy up.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.db, self.port, self.master);
    }

    async fn revision(&self) -> Option<u64> {
        let client = self.client();
        let request = client.request(http::Method::GET, STATS).body(Default::default()).unwrap();
        let answer = client.try_send(request).await.ok().filter(|answer| answer.status == 200)?;
        answer.json()["data"]["revision"].as_u64()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(db: &Path, port: u16, master: Option<u16>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kamaitachi-node"));
    command.arg("--db").arg(db).env("KAMAITACHI__SERVER__PORT", port.to_string());
    command.env("KAMAITACHI__SERVER__WORKERS", "1").env("KAMAITACHI__LOG__LEVEL", "error");
    command.env("KAMAITACHI__REPLICATION__RETRY_MAX", "100ms");
    // Short enough that a slave that was away at times has to fetch a copy.
    command.env("KAMAITACHI__REPLICATION__LOG_COMMITS", "300");
    if let Some(master) = master {
        command.env("KAMAITACHI__SERVER__MODE", "slave");
        command.env("KAMAITACHI__REPLICATION__MASTER", format!("127.0.0.1:{master}"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port that was free just now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Writes row after row, each acknowledged or tried again, until told to stop; gives how many were
/// acknowledged. Row `n` of subject `n % 7` has the value `n`.
async fn write(client: Client, mut stop: tokio::sync::oneshot::Receiver<()>) -> i64 {
    let mut acknowledged = 0;
    while stop.try_recv().is_err() {
        let n = acknowledged;
        let line = row(&format!("33:{}", n % 7), n, json!({"operating_income": n})).to_string();
        let request = client.request(http::Method::POST, INGEST);
        let answer = client.try_send(request.body(line.into()).unwrap()).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            acknowledged += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    acknowledged
}

async fn rounds(rounds: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let dirs = [directory(), directory(), directory()];
    let db = |n: usize| dirs[n].path().join("node.db");
    let at = port();
    let mut nodes = [
        Process::start(db(0), at, None),
        Process::start(db(1), port(), Some(at)),
        Process::start(db(2), port(), Some(at)),
    ];
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(write(nodes[0].client(), stopped));
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(random.random_range(20..250))).await;
        let victim = random.random_range(0..3_usize);
        nodes[victim].kill();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        nodes[victim].restart();
    }
    until("the master writes", async || nodes[0].revision().await.is_some()).await;
    stop.send(()).unwrap();
    let acknowledged = writer.await.unwrap();
    until("the slaves are in step", async || {
        let [master, one, two] =
            [nodes[0].revision().await, nodes[1].revision().await, nodes[2].revision().await];
        master.is_some() && master == one && one == two
    })
    .await;
    nodes.iter_mut().for_each(Process::kill);
    let conn = rusqlite::Connection::open(db(0)).unwrap();
    let lost = "SELECT ?1 - count(*) FROM finance_data WHERE report_date < ?1 \
                AND operating_income = report_date AND subject_key = '33:' || (report_date % 7)";
    let lost: i64 = conn.query_row(lost, [acknowledged], |row| row.get(0)).unwrap();
    assert_eq!(lost, 0, "of {acknowledged} acknowledged rows (seed {seed})");
    drop(conn);
    println!("{rounds} kills, seed {seed}: {acknowledged} acknowledged rows, none lost");
    assert_equal(&db(0), &db(1));
    assert_equal(&db(0), &db(2));
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_the_stores_end_equal() {
    rounds(10, rand::rng().random()).await;
}

/// `cargo test -p kamaitachi-node --test it -- --ignored two_hundred --nocapture`
#[tokio::test]
#[ignore = "takes a minute or two"]
async fn two_hundred_kills_lose_nothing() {
    rounds(200, rand::rng().random()).await;
}
