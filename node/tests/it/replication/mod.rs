//! Masters and slaves over real sockets, and as real processes that are killed.

mod following;
pub(crate) mod group;
mod kills;
mod partition;
mod starting;
mod warm;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kamaitachi_node::{
    Node,
    api::Core,
    config::{Config, Role},
    store::Store,
};
use rusqlite::{Connection, types::Value as Stored};
use serde_json::{Value, json};

use crate::support::{Client, Running, STATS};

/// A slave of the node at an address, on whatever a directory holds.
async fn slave(master: &str, dir: tempfile::TempDir) -> Running {
    slave_with(master, dir, |_| {}).await
}

/// The same, with another configuration.
async fn slave_with(
    master: &str,
    dir: tempfile::TempDir,
    change: impl FnOnce(&mut Config),
) -> Running {
    let mut config = slave_config(master, &dir.path().join("node.db"));
    change(&mut config);
    let node = tokio::time::timeout(PATIENCE, Node::start(config)).await.unwrap().unwrap();
    let client = Client::to(node.local_addr().to_string());
    Running { node, client, dir }
}

fn slave_config(master: &str, db: &Path) -> Config {
    let mut config = Config::embedded(Role::Slave { master: Some(master.to_owned()) }, db);
    config.server.workers = Some(1);
    config.replication.timeout = Duration::from_secs(2);
    config.replication.retry_max = Duration::from_millis(200);
    config.limits.revision_wait = PATIENCE;
    config
}

/// Nothing here takes as long unless it never ends.
const PATIENCE: Duration = Duration::from_secs(60);

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn addr(node: &Running) -> String {
    node.node.local_addr().to_string()
}

/// Waits until a question has the answer that is wanted.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// What `/stats` says of replication.
async fn replication(client: &Client) -> Value {
    client.get(STATS).await.data()["replication"].take()
}

/// Whether a slave is ready again, from so many copies. It answers nothing while one takes the place
/// of its file.
async fn has_started_from_copies(client: &Client, copies: u64) -> bool {
    let stats = client.get(STATS).await;
    stats.status == 200 && stats.data()["replication"]["bootstraps"] == copies
}

/// Waits until the slave has what the master has.
async fn in_step(master: &Running, slave: &Running) {
    until("the slave is in step", async || {
        // The slave has none while a copy takes its place.
        let [master, slave] = [master, slave].map(|node| node.node.app().core());
        let mark = |core: Option<_>| core.map(|core: Arc<Core>| core.store.mark());
        mark(master) == mark(slave)
    })
    .await;
}

/// The store of a node that is ready.
fn store(node: &Running) -> Store {
    node.node.app().core().unwrap().store.clone()
}

/// All rows of all tables that master and slave have in common.
fn content(db: &Path) -> Vec<(String, Vec<Vec<Stored>>)> {
    let conn = Connection::open(db).unwrap();
    let tables = [
        ("finance_data", "id"),
        ("subject_tags", "1, 2, 3"),
        ("subjects", "1"),
        ("data_info", "1, 2"),
        ("data_points", "1, 2, 3"),
        ("pragma_table_info('finance_data')", "1"),
    ];
    let rows = |select: &str| {
        let mut select = conn.prepare(select).unwrap();
        let count = select.column_count();
        let read = select
            .query_map([], |row| (0..count).map(|n| row.get(n)).collect::<Result<Vec<_>, _>>());
        read.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let state = "SELECT revision, membership_revision, records, subjects FROM store_state";
    let history = "SELECT lineage, nonce, columns FROM store_history";
    let tables = tables.map(|(table, order)| {
        (table.to_owned(), rows(&format!("SELECT * FROM {table} ORDER BY {order}")))
    });
    let accounts = [("state".to_owned(), rows(state)), ("history".to_owned(), rows(history))];
    tables.into_iter().chain(accounts).collect()
}

/// Compares two files table by table.
#[track_caller]
fn assert_equal(master: &Path, slave: &Path) {
    for ((table, left), (_, right)) in content(master).into_iter().zip(content(slave)) {
        assert_eq!(left.len(), right.len(), "{table}");
        assert!(left == right, "{table} differs");
    }
}

/// Stops both and compares their files.
async fn end_equal(master: Running, slave: Running) {
    in_step(&master, &slave).await;
    let (a, b) = (slave.stop().await, master.stop().await);
    assert_equal(&path(&b), &path(&a));
}

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("node.db")
}

/// A record of data management.
fn record(id: &str, at: i64) -> Value {
    json!({"id": id, "data": {at.to_string(): [at]}})
}
