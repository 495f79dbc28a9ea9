//! The cache across restarts.

use std::{fs, path::PathBuf};

use kamaitachi_node::{
    config::Config,
    store::{Options, RowBatch, RowFacts, Store},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Answer, PERIOD, Q1, Q4, Running, STATS, year_2020};

fn ask() -> Value {
    json!({"subjects": "33:000001,33:000002,33:404404", "ids": "operating_income,net_profit", "from": Q1, "to": Q4})
}

fn cache(answer: &Answer) -> &str {
    answer.header("x-kamaitachi-cache").unwrap()
}

fn files(running: &tempfile::TempDir) -> Vec<PathBuf> {
    let dir = running.path().join("node.db.snapshots");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A node that knows the year 2020, stopped; and what it answered.
async fn stopped(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Value) {
    let running = Running::with(change).await;
    running.client.ingest(&year_2020()).await;
    let answer = running.client.post(PERIOD, &ask()).await;
    assert_eq!(cache(&answer), "miss");
    (running.stop().await, answer.data())
}

#[tokio::test]
async fn what_was_known_is_known_after_a_restart() {
    for compress in [false, true] {
        let (dir, before) =
            stopped(|config| config.cache.snapshots.files.compress = compress).await;
        let again = Running::within(dir, |_| {}).await;
        let answer = again.client.post(PERIOD, &ask()).await;
        assert_eq!((cache(&answer), answer.data()), ("hit", before));
        let ready = again.client.get("/readyz").await.json();
        assert!(ready["checks"][1]["detail"].as_str().unwrap().contains(".snapshot"), "{ready}");
    }
}

#[tokio::test]
async fn what_was_written_in_between_is_read_anew() {
    let (dir, _) = stopped(|_| {}).await;
    let connection = Connection::open(dir.path().join("node.db")).unwrap();
    connection
        .execute(
            "UPDATE finance_data SET operating_income = -1 WHERE subject_key = '33:000002'",
            [],
        )
        .unwrap();
    drop(connection);
    let again = Running::within(dir, |_| {}).await;
    let answer = again.client.post(PERIOD, &ask()).await;
    let data = answer.data();
    assert_eq!(data[1]["data"][0]["operating_income"], json!(-1.0));
    assert_eq!(data[0]["data"][0]["operating_income"], json!(103.5));
    assert_eq!(cache(&answer), "partial");
}

#[tokio::test]
async fn nothing_in_a_snapshot_file_stops_a_node() {
    let (dir, before) = stopped(|_| {}).await;
    let newest = files(&dir).pop().unwrap();
    let good = fs::read(&newest).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut dir = Some(dir);
    for damaged in [&flipped[..], &good[..good.len() / 2], b"", b"KAMASNAP", &[0xff; 4096]] {
        fs::write(&newest, damaged).unwrap();
        let again = Running::within(dir.take().unwrap(), |_| {}).await;
        assert_eq!(again.client.get("/readyz").await.status, 200);
        assert_eq!(again.client.post(PERIOD, &ask()).await.data(), before);
        // The snapshot of this stop goes, so that the next round finds the damaged one alone.
        let stopped = again.stop().await;
        files(&stopped).iter().for_each(|file| fs::remove_file(file).unwrap());
        dir = Some(stopped);
    }
}

#[tokio::test]
async fn an_older_file_stands_in_for_a_damaged_one() {
    let (dir, before) = stopped(|_| {}).await;
    let again = Running::within(dir, |_| {}).await;
    again.client.get(STATS).await.data();
    let dir = again.stop().await;
    let kept = files(&dir);
    assert_eq!(kept.len(), 2, "{kept:?}");
    fs::write(&kept[1], b"no snapshot").unwrap();
    let again = Running::within(dir, |_| {}).await;
    let answer = again.client.post(PERIOD, &ask()).await;
    assert_eq!((cache(&answer), answer.data()), ("hit", before));
    let dir = again.stop().await;
    assert!(
        files(&dir).iter().any(|file| file.to_string_lossy().ends_with(".damaged")),
        "{:?}",
        files(&dir)
    );
}

#[tokio::test]
async fn only_so_many_are_kept_and_only_the_key_opens_them() {
    let key = |byte: u8| Some(secrecy::SecretBox::new(Box::new([byte; 32])));
    let (mut dir, before) = stopped(|config| {
        config.cache.snapshots.files.key = key(7);
        config.cache.snapshots.files.keep = 2;
    })
    .await;
    for _ in 0..3 {
        let again = Running::within(dir, |config| {
            config.cache.snapshots.files.key = key(7);
            config.cache.snapshots.files.keep = 2;
        })
        .await;
        let answer = again.client.post(PERIOD, &ask()).await;
        assert_eq!((cache(&answer), answer.data()), ("hit", before.clone()));
        dir = again.stop().await;
    }
    let kept = files(&dir);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let text = fs::read(&kept[1]).unwrap();
    assert!(!text.windows(9).any(|nine| nine == b"33:000001"), "encrypted");
    let stranger = Running::within(dir, |config| config.cache.snapshots.files.key = key(8)).await;
    let answer = stranger.client.post(PERIOD, &ask()).await;
    assert_eq!((cache(&answer), answer.data()), ("miss", before));
}

/// Puts rows into a new database at `db`, so that it gets as far as one that had one write.
async fn another(db: &std::path::Path) {
    let store = Store::open(Options::new(db)).await.unwrap();
    store.register_indicators(vec!["net_profit".into()]).await.unwrap();
    let mut batch = RowBatch::default();
    batch.add("33:000001", Q1, &[("operating_income", Some(-7.0))], RowFacts::default());
    store.ingest(batch, false).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_was_known_of_another_database_is_not_answered() {
    let (dir, _) = stopped(|_| {}).await;
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(dir.path().join(format!("node.db{ending}")));
    }
    another(&dir.path().join("node.db")).await;
    let again = Running::within(dir, |_| {}).await;
    let answer = again.client.post(PERIOD, &ask()).await;
    assert_eq!(cache(&answer), "miss");
    assert_eq!(answer.data()[0]["data"][0]["operating_income"], json!(-7.0));
}

#[tokio::test]
async fn what_was_known_of_a_history_that_was_undone_is_not_answered() {
    let running = Running::master().await;
    running.client.ingest(&year_2020()).await;
    let dir = running.stop().await;
    let db = dir.path().join("node.db");
    let backup = dir.path().join("backup.db");
    fs::copy(&db, &backup).unwrap();
    let write = async |income: f64| {
        let store = Store::open(Options::new(&db)).await.unwrap();
        let mut batch = RowBatch::default();
        batch.add("33:000001", Q1, &[("operating_income", Some(income))], RowFacts::default());
        store.ingest(batch, false).await.unwrap();
        store.close().await;
    };
    write(1.0).await;
    let running = Running::within(dir, |_| {}).await;
    let known = running.client.post(PERIOD, &ask()).await;
    let dir = running.stop().await;
    fs::rename(&backup, &db).unwrap();
    // As many writes as were undone, and one more.
    write(2.0).await;
    write(2.0).await;
    let again = Running::within(dir, |_| {}).await;
    let answer = again.client.post(PERIOD, &ask()).await;
    let income = |answer: &Answer| answer.data()[0]["data"][3]["operating_income"].clone();
    assert_eq!((cache(&answer), income(&answer)), ("miss", json!(2.0)));
    assert_eq!(income(&known), json!(1.0));
}
