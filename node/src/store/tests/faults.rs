//! Disks that fail, files that are damaged, jobs that panic.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::store::{Durability, OpenReason, StoreError, check};

#[tokio::test]
async fn a_job_that_panics_costs_that_job_alone() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for _ in 0..10 {
        let read = store.threads.read(|_, _| -> Result<(), _> { panic!("on purpose") }).await;
        assert_eq!(read, Err(StoreError::Panicked));
        let write = store.threads.write(1, |writing| -> Result<(), _> {
            writing.conn.execute_batch("DELETE FROM finance_data").unwrap();
            panic!("on purpose")
        });
        assert_eq!(write.await, Err(StoreError::Panicked));
        store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
        assert_eq!(all(store, "33:1").await.rows.len(), 1);
    }
    assert_eq!(store.revision(), 10);
}

struct Panics;

impl WriteObserver for Panics {
    fn before_commit(&self, _: Revision, _: &Touched) {
        panic!("on purpose")
    }
    fn after_commit(&self, _: Revision, _: &Touched) {
        panic!("on purpose")
    }
    fn aborted(&self, _: Revision, _: &Touched) {}
}

#[tokio::test]
async fn an_observer_that_panics_stops_neither_the_write_nor_the_others() {
    let fixture = Fixture::new().await;
    let log = Arc::new(Log::default());
    fixture.store.observe(Arc::new(Panics));
    fixture.store.observe(log.clone());
    fixture.store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
    assert_eq!(*log.0.lock(), ["before 1 [33:1] true", "after 1 [33:1] true"]);
}

#[tokio::test]
async fn a_failed_commit_is_told_and_nothing_is_acknowledged_until_a_probe_succeeds() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (failing, hook) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let fails = Arc::clone(&failing);
    let seen = Arc::clone(&hook);
    let install = store.threads.write(1, move |writing| {
        let commit = move || {
            seen.store(true, Ordering::SeqCst);
            fails.load(Ordering::SeqCst)
        };
        writing.conn.commit_hook(Some(commit)).map_err(StoreError::from)
    });
    install.await.unwrap();
    assert!(hook.load(Ordering::SeqCst));
    let log = Arc::new(Log::default());
    store.observe(log.clone());
    failing.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap_err();
        assert_eq!(all(store, "33:1").await, Found::default());
    }
    // Only the first try got as far as its commit: the others ended at the probe.
    assert_eq!(*log.0.lock(), ["before 2 [33:1] true", "aborted 2 [33:1] true"]);
    failing.store(false, Ordering::SeqCst);
    let written = store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
    assert_eq!((written.revision, store.totals().records), (2, 1));
    assert_eq!(all(store, "33:1").await.rows.len(), 1);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let limit = async |pages: i64| {
        let set = store.threads.write(1, move |writing| {
            let now =
                writing.conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
            let pragma = format!("PRAGMA max_page_count = {}", now + pages);
            writing.conn.query_row(&pragma, [], |_| Ok(()))?;
            Ok(())
        });
        set.await.unwrap();
    };
    limit(0).await;
    let rows: Vec<_> = (0..10_000).map(|n| ("33:2", n, Some(n as f64))).collect();
    let full = store.ingest(incomes(&rows), false).await.unwrap_err();
    assert_eq!(full, StoreError::DiskFull);
    assert_eq!(all(store, "33:2").await, Found::default());
    assert_eq!(all(store, "33:1").await.rows.len(), 1);
    limit(10_000).await;
    store.ingest(incomes(&rows), false).await.unwrap();
    assert_eq!(store.totals().records, 10_001);
}

#[tokio::test]
async fn a_disk_that_refused_a_write_is_tried_again_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let look_outside = Duration::from_millis(10);
    let options = Options { look_outside, ..Options::new(dir.path().join("store.db")) };
    let store = Store::open(options).await.unwrap();
    assert_eq!(store.refuses_writes(), None);
    let failed = store.threads.write(1, |_| Err::<(), _>(StoreError::DiskFailed)).await;
    assert_eq!(failed, Err(StoreError::DiskFailed));
    // What the test calls a failure is none for the probe.
    while store.refuses_writes().is_some() {
        tokio::time::sleep(look_outside).await;
    }
    store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
}

#[tokio::test]
async fn so_many_jobs_wait_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, waiting_writes) = (NonZeroUsize::MIN, 2);
    let options = Options { queue, waiting_writes, ..Options::new(dir.path().join("store.db")) };
    let store = Store::open(options).await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, began) = tokio::sync::oneshot::channel();
    let stuck = {
        let store = store.clone();
        tokio::spawn(async move {
            let held = store.threads.write(1, move |_| {
                begun.send(()).unwrap();
                wait.recv().ok();
                Ok(())
            });
            held.await
        })
    };
    began.await.unwrap();
    let write = || {
        let store = store.clone();
        async move { store.ingest(incomes(&[("33:1", 1, None)]), false).await }
    };
    // One in the queue, two outside, none further.
    let waiting = [(); 3].map(|()| tokio::spawn(write()));
    tokio::task::yield_now().await;
    assert_eq!(write().await.unwrap_err(), StoreError::Overloaded { what: "writes" });
    assert_eq!(all(&store, "33:1").await.rows.len(), 0, "reads go on");
    drop(go);
    stuck.await.unwrap().unwrap();
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    write().await.unwrap();
}

#[tokio::test]
async fn damage_that_a_read_meets_ends_writes_and_is_told() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
    let read = store.threads.read(|_, _| Err::<(), _>(StoreError::Corrupt)).await;
    assert_eq!(read, Err(StoreError::Corrupt));
    assert!(store.is_damaged());
    assert_eq!(store.refuses_writes(), Some(StoreError::Corrupt));
    let refused = store.ingest(incomes(&[("33:1", 2, None)]), false).await;
    assert_eq!(refused.unwrap_err(), StoreError::Corrupt);
    assert_eq!(all(store, "33:1").await.rows.len(), 1);
}

#[tokio::test]
async fn damage_is_an_error_and_never_a_panic() {
    let fixture = Fixture::new().await;
    let rows: Vec<_> = (0..500).map(|n| ("33:1", n, Some(n as f64))).collect();
    fixture.store.ingest(incomes(&rows), false).await.unwrap();
    fixture.store.close().await;
    let sound = std::fs::read(fixture.path()).unwrap();
    let pages = sound.len() / 4_096;
    let damaged = fixture.dir.path().join("damaged.db");
    for page in 0..pages {
        let mut bytes = sound.clone();
        bytes[page * 4_096..(page + 1) * 4_096].fill(0x5a);
        std::fs::write(&damaged, bytes).unwrap();
        let found = check(&damaged);
        assert!(found.is_err() || !found.unwrap().is_sound(), "page {page}");
        let options = Options { durability: Durability::Normal, ..Options::new(&damaged) };
        match Store::open(options).await {
            Ok(store) => {
                let rows = Rows::Between { from: 0, to: 500 };
                let need = Need { subject: "33:1".into(), rows, indicators: [].into() };
                // Whatever it says, it says it.
                let _ = store.read(vec![need]).await;
                let _ = store.ingest(incomes(&[("33:1", 5_000, None)]), false).await;
                store.close().await;
            }
            Err(error) => assert!(!matches!(error.reason, OpenReason::Panicked), "page {page}"),
        }
        let look_over = Duration::from_secs(60);
        let options = Options { look_over, ..Options::new(&damaged) };
        let refused = Store::open(options).await.expect_err("every page is looked over");
        assert!(matches!(refused.reason, OpenReason::Damaged(_)), "page {page}: {refused}");
    }
}
