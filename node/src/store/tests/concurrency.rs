//! Many writers and readers at once.

use std::sync::Arc;

use super::*;
use crate::{model::IndicatorId, store::StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_snapshot_is_of_one_revision() {
    let fixture = Fixture::new().await;
    let store = fixture.store.clone();
    // Every write sets both subjects to the revision it takes.
    let writer = tokio::spawn(async move {
        for n in 1..=300 {
            let batch = incomes(&[("33:1", 1, Some(n as f64)), ("33:2", 1, Some(n as f64))]);
            assert_eq!(store.ingest(batch, false).await.unwrap().revision, n);
        }
    });
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < 300 {
                    let rows = Rows::Newest { not_before: Epoch::MIN, at: Epoch::MAX };
                    let need = |subject: &str| Need {
                        subject: subject.into(),
                        rows,
                        indicators: [IndicatorId(0)].into(),
                    };
                    let known = store.revision();
                    let needs = vec![need("33:1"), need("33:2")];
                    let (revision, found) = store.read(needs).await.unwrap();
                    let income = |n: usize| found[n].rows.first().and_then(|row| row.values[0]);
                    let expected = (revision > 0).then_some(revision as f64);
                    assert_eq!((income(0), income(1)), (expected, expected));
                    assert!(revision >= known && revision >= last, "{revision} {known} {last}");
                    last = revision;
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn writes_that_wait_together_share_a_commit_and_fail_alone() {
    let fixture = Fixture::new().await;
    let log = Arc::new(Log::default());
    fixture.store.observe(log.clone());
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let store = fixture.store.clone();
    let held = tokio::spawn(async move {
        // Holds the writer until all the others are queued.
        store.threads.write(2_000, move |_| gate.recv().map_err(|_| StoreError::Closed)).await
    });
    let writes: Vec<_> = (0..200)
        .map(|n| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                if n % 10 == 0 {
                    // Fails after it has changed much.
                    let spoil = store.threads.write(1, |writing| {
                        writing.conn.execute_batch("DELETE FROM finance_data")?;
                        writing.touched.subjects.push("33:bad".into());
                        Err(StoreError::Busy)
                    });
                    return spoil.await;
                }
                store.ingest(incomes(&[(&format!("33:{n}"), 1, Some(1.0))]), false).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    assert_eq!(held.await.unwrap().unwrap().revision, 1);
    let mut revisions = Vec::new();
    for (n, write) in writes.into_iter().enumerate() {
        match write.await.unwrap() {
            Ok(written) => revisions.push(written.revision),
            Err(error) => assert_eq!((n % 10, error), (0, StoreError::Busy)),
        }
    }
    assert_eq!(revisions, (2..=181).collect::<Vec<_>>());
    assert_eq!(fixture.store.totals().records, 180);
    for n in (0..200).filter(|n| n % 10 != 0) {
        assert_eq!(all(&fixture.store, &format!("33:{n}")).await.rows.len(), 1);
    }
    let told = log.0.lock().clone();
    for what in ["before", "after"] {
        let of: Vec<u64> = told
            .iter()
            .filter_map(|line| line.strip_prefix(what)?.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(of, (1..=181).collect::<Vec<_>>(), "{what}");
    }
    let place = |line: String| told.iter().position(|told| told.starts_with(&line));
    for revision in 1..=181 {
        assert!(place(format!("before {revision} ")) < place(format!("after {revision} ")));
    }
    assert!(told[2].starts_with("before 2 ") && told[3].starts_with("before 3 "), "{told:?}");
}

#[tokio::test]
async fn a_full_queue_makes_the_next_one_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue = std::num::NonZeroUsize::MIN;
    let readers = std::num::NonZeroUsize::MIN;
    let options = Options { queue, readers, ..Options::new(dir.path().join("store.db")) };
    let store = Store::open(options).await.unwrap();
    let writes = (0..50).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.ingest(incomes(&[("33:1", n, None)]), false).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let reads = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { all(&store, "33:1").await.rows.len() })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 50);
    }
    store.close().await;
}

#[tokio::test]
async fn a_read_nobody_waits_for_is_given_up() {
    let fixture = Fixture::new().await;
    fixture.store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
    // More than any machine answers before the next line.
    let rows = Rows::Newest { not_before: Epoch::MIN, at: Epoch::MAX };
    let need = Need { subject: "33:1".into(), rows, indicators: [IndicatorId(0)].into() };
    for _ in 0..3 {
        let read = fixture.store.read(vec![need.clone(); 3_000_000]);
        let asked = tokio::time::timeout(std::time::Duration::from_millis(1), read).await;
        assert!(asked.is_err());
    }
    let asked = tokio::time::Instant::now();
    fixture.store.close().await;
    assert!(asked.elapsed().as_secs() < 3, "{:?}", asked.elapsed());
}
