//! What was acknowledged is there after the process was killed.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;
use crate::store::{Durability, check};

const PATH: &str = "KAMAITACHI_TEST_STORE";

/// The process that gets killed: writes for ever and prints each acknowledged revision.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn writes_until_killed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let durability = match std::env::var("KAMAITACHI_TEST_SYNC").as_deref() {
            Ok("full") => Durability::Full,
            _ => Durability::Normal,
        };
        let path = std::env::var(PATH).unwrap();
        let store = Store::open(Options { durability, ..Options::new(path) }).await.unwrap();
        let writers = (0..8).map(|lane: i64| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let at = lane * 1_000_000 + n;
                    let batch = incomes(&[("33:1", at, Some(at as f64)), ("33:2", at, None)]);
                    let revision = store.ingest(batch, false).await.unwrap().revision;
                    println!("acknowledged {at} {revision}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

/// Runs the writer, kills it after some acknowledgements, and gives those it made: date, revision.
fn kill_after(acknowledged: usize, path: &std::path::Path, sync: &str) -> Vec<(Epoch, Revision)> {
    let test = "store::tests::durability::writes_until_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .env("KAMAITACHI_TEST_SYNC", sync)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let parse = |line: String| {
        let (at, revision) = line.split_once("acknowledged ")?.1.split_once(' ')?;
        Some((at.parse().ok()?, revision.parse().ok()?))
    };
    let mut seen: Vec<_> = lines.by_ref().filter_map(parse).take(acknowledged).collect();
    child.kill().unwrap();
    // What it said before it died counts too; a line cut short does not parse as a whole one,
    // or as a date that was never written.
    let rest: Vec<String> = lines.collect();
    let whole = rest.len().saturating_sub(1);
    seen.extend(rest.into_iter().take(whole).filter_map(parse));
    child.wait().unwrap();
    seen
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    for (round, sync) in [(40, "full"), (300, "normal"), (1, "full")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let acknowledged = kill_after(round, &path, sync);
        assert!(acknowledged.len() >= round);
        let store = Store::open(Options::new(&path)).await.unwrap();
        let (one, two) = (all(&store, "33:1").await, all(&store, "33:2").await);
        let dates =
            |found: &Found| found.rows.iter().map(|row| row.report_date).collect::<Vec<_>>();
        assert_eq!(dates(&one), dates(&two), "half a write is there");
        for (at, revision) in acknowledged {
            let row = one.rows.binary_search_by_key(&at, |row| row.report_date);
            let row =
                &one.rows[row.unwrap_or_else(|_| panic!("{at} was acknowledged and is gone"))];
            assert_eq!(row.values[0], Some(at as f64));
            assert!(revision <= store.revision());
        }
        assert_eq!(store.totals().records, one.rows.len() as u64 * 2);
        store.close().await;
        assert!(check(&path).unwrap().findings.is_empty());
    }
}
