//! A master and two slaves over loopback: how late the slaves are under small writes, and how fast
//! a slave starts from a copy.
//!
//! `cargo bench -p kamaitachi-node --bench replication`. Environment: `ROWS` a second (20000),
//! `TOGETHER`, the rows of a write (10), `CLIENTS`, the writes under way at a time (256), `SECONDS`
//! (10), `MEGABYTES` of the file to start from (1000).

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kamaitachi_node::{
    Node,
    config::{Config, Role},
    sample::{SampleOptions, generate},
    store::{Durability, RowBatch, RowFacts, Store, StoreError},
};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};

/// How often writers begin, some together.
const TICK: Duration = Duration::from_millis(4);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn start(role: Role, db: &Path) -> Node {
    let mut config = Config::embedded(role.clone(), db);
    config.server.workers = Some(1);
    config.database.start_check = Duration::ZERO;
    if role != Role::Master {
        config.database.durability = Durability::Normal;
    }
    Node::start(config).await.expect("a node")
}

async fn follow(master: &Node, db: &Path) -> Node {
    start(Role::Slave { master: Some(master.local_addr().to_string()) }, db).await
}

fn store(node: &Node) -> Store {
    node.app().core().expect("a node that is ready").store.clone()
}

async fn write(clients: &Semaphore, store: Store, subjects: std::ops::Range<u64>, at: i64) -> u64 {
    let _client = clients.acquire().await.expect("never closed");
    loop {
        let mut batch = RowBatch::default();
        let value = [("operating_income", Some(1.5))];
        for subject in subjects.clone() {
            batch.add(&format!("33:{subject:06}"), at, &value, RowFacts::default());
        }
        match store.ingest(batch, false).await {
            Ok(written) => return written.revision,
            // As a client does who is told to come back.
            Err(StoreError::Overloaded { .. }) => tokio::time::sleep(TICK).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Small writes at a steady rate, and how long after each tick's last acknowledgement
/// both slaves have it.
async fn lag(dir: &Path) {
    let (rate, seconds) = (number("ROWS", 20_000), number("SECONDS", 10));
    let master = start(Role::Master, &dir.join("master.db")).await;
    let slaves =
        [follow(&master, &dir.join("one.db")).await, follow(&master, &dir.join("two.db")).await];
    let size = usize::try_from(number("TOGETHER", 10).max(1)).expect("small");
    let clients = usize::try_from(number("CLIENTS", 256).max(1)).expect("small");
    let clients = Arc::new(Semaphore::new(clients));
    let together = rate * u64::try_from(TICK.as_millis()).expect("small") / 1_000;
    let ticks = seconds * 1_000 / u64::try_from(TICK.as_millis()).expect("small");
    let mut turns = interval(TICK);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut waits) = (now(), tokio::task::JoinSet::new());
    for tick in 0..ticks {
        turns.tick().await;
        let (to, followers) = (store(&master), slaves.each_ref().map(store));
        let clients = Arc::clone(&clients);
        waits.spawn(async move {
            let at = i64::try_from(tick / 250).expect("small");
            let first = tick % 250 * together;
            let all = (first..first + together).step_by(size).map(|n| {
                write(&clients, to.clone(), n..(n + size as u64).min(first + together), at)
            });
            let revisions = futures_util::future::join_all(all).await;
            let (newest, acknowledged) = (revisions.into_iter().max().unwrap_or(0), now());
            for follower in followers {
                follower.reached(newest).await;
            }
            (acknowledged.elapsed(), acknowledged)
        });
    }
    let mut done = waits.join_all().await;
    let last = done.iter().map(|(_, at)| *at).max().unwrap_or(began);
    let rows = ticks * together;
    let took = last.duration_since(began);
    done.sort_unstable();
    let at = |percent: usize| done[(done.len() - 1) * percent / 100].0;
    println!(
        "{rows} rows, {size} a write, in {took:.2?} ({} a second), in step on two slaves after: \
         median {:.1?}, 99 % {:.1?}, most {:.1?}",
        u128::from(rows) * 1_000 / took.as_millis().max(1),
        at(50),
        at(99),
        at(100)
    );
}

/// A slave that has nothing, until it serves.
async fn copy(dir: &Path) {
    let db = dir.join("large.db");
    // A row takes about 200 bytes with its keys.
    let rows = Some(number("MEGABYTES", 1_000) * 1_000_000 / 200);
    let options = SampleOptions { rows, ..SampleOptions::new(&db) };
    let made =
        tokio::task::spawn_blocking(move || generate(&options, |_, _| {}).expect("a sample"));
    made.await.expect("a sample");
    let master = start(Role::Master, &db).await;
    let began = now();
    let _slave = follow(&master, &dir.join("copied.db")).await;
    let (took, bytes) = (began.elapsed(), std::fs::metadata(&db).expect("a file").len());
    println!(
        "a slave serves a copy of {} MB after {took:.2?}: {} MB a second",
        bytes / 1_000_000,
        u128::from(bytes) / 1_000 / took.as_millis().max(1)
    );
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir_in(".").expect("a directory");
    lag(dir.path()).await;
    copy(dir.path()).await;
}
