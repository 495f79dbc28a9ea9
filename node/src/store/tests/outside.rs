//! What other programs write to a store's file.

use std::sync::Arc;

use rusqlite::Connection;

use super::*;
use crate::store::{Totals, check};

const INSERT: &str = "INSERT INTO finance_data (stock_code, market_code, subject_key, stock_name, \
    report_date, operating_income, topic) VALUES ('1', '33', '33:1', 'renamed', 300, 9.0, 'pool_b'), \
    ('9', '33', '33:9', 'new', 100, 1.0, 'pool_b')";

async fn two_subjects() -> Fixture {
    let fixture = Fixture::new().await;
    let batch = incomes(&[("33:1", 100, Some(1.0)), ("33:2", 100, Some(2.0))]);
    fixture.store.ingest(batch, false).await.unwrap();
    fixture
}

#[tokio::test]
async fn rows_written_while_the_store_was_closed_are_taken_in_at_the_start() {
    let fixture = two_subjects().await;
    fixture.store.close().await;
    let conn = Connection::open(fixture.path()).unwrap();
    conn.execute_batch(INSERT).unwrap();
    conn.execute_batch("DELETE FROM finance_data WHERE subject_key = '33:2'").unwrap();
    conn.execute_batch("INSERT INTO subject_tags VALUES ('33:9', 'concept', 'AI')").unwrap();
    conn.execute_batch("ALTER TABLE finance_data ADD COLUMN margin REAL").unwrap();
    drop(conn);
    assert!(check(&fixture.path()).unwrap().is_sound());
    let fixture = fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!((store.revision(), store.totals()), (2, Totals { records: 3, subjects: 2 }));
    assert_eq!(store.indicators().len(), 3);
    assert_eq!(all(store, "33:1").await.subject.unwrap().name.as_deref(), Some("renamed"));
    assert_eq!(all(store, "33:2").await, Found::default());
    let members = store.topic_members("pool_b").await.unwrap().1;
    assert_eq!(members, ["33:1".into(), "33:9".into()]);
    let (_, changes) = store.changes_since(1).await.unwrap();
    assert_eq!((changes.subjects.join(" "), changes.membership), ("33:1 33:2 33:9".into(), true));
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.revision(), 2);
    assert!(check(&fixture.path()).unwrap().findings.is_empty());
}

#[tokio::test]
async fn rows_written_while_the_store_is_open_are_announced_before_the_next_write() {
    let fixture = two_subjects().await;
    let log = Arc::new(Log::default());
    fixture.store.observe(log.clone());
    Connection::open(fixture.path()).unwrap().execute_batch(INSERT).unwrap();
    let written = fixture.store.ingest(incomes(&[("33:2", 200, None)]), false).await.unwrap();
    assert_eq!(written.revision, 3);
    let told = [
        "before 2 [33:1 33:9] true",
        "after 2 [33:1 33:9] true",
        "before 3 [33:2] false",
        "after 3 [33:2] false",
    ];
    assert_eq!(*log.0.lock(), told);
    assert_eq!(fixture.store.totals(), Totals { records: 5, subjects: 3 });
}

#[tokio::test]
async fn an_idle_store_notices_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let look_outside = std::time::Duration::from_millis(1);
    let store = Store::open(Options { look_outside, ..Options::new(&path) }).await.unwrap();
    Connection::open(&path).unwrap().execute_batch(INSERT).unwrap();
    while store.revision() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.totals(), Totals { records: 2, subjects: 2 });
}

#[tokio::test]
async fn two_stores_on_one_file_number_their_writes_together() {
    let fixture = two_subjects().await;
    let other = Store::open(Options::new(fixture.path())).await.unwrap();
    let log = Arc::new(Log::default());
    fixture.store.observe(log.clone());
    other.register_indicators(vec!["margin".into()]).await.unwrap();
    let written = other.ingest(incomes(&[("33:9", 1, None)]), false).await.unwrap();
    assert_eq!(written.revision, 3);
    let written = fixture.store.ingest(incomes(&[("33:2", 200, None)]), false).await.unwrap();
    assert_eq!((written.revision, fixture.store.indicators().len()), (4, 3));
    let told = [
        "before 3 [33:9] true",
        "after 3 [33:9] true",
        "before 4 [33:2] false",
        "after 4 [33:2] false",
    ];
    assert_eq!(*log.0.lock(), told);
    assert_eq!(fixture.store.totals(), Totals { records: 4, subjects: 3 });
}

#[tokio::test]
async fn a_table_that_was_dropped_and_made_anew_is_keyed_and_read_again() {
    let fixture = two_subjects().await;
    fixture.store.close().await;
    let conn = Connection::open(fixture.path()).unwrap();
    conn.execute_batch(
        "DROP TABLE finance_data;
         CREATE TABLE finance_data(id INTEGER PRIMARY KEY AUTOINCREMENT, stock_code TEXT NOT NULL,
           market_code TEXT NOT NULL, subject_key TEXT NOT NULL, stock_name TEXT,
           report_date INTEGER NOT NULL, operating_income REAL, topic TEXT);",
    )
    .unwrap();
    conn.execute_batch(INSERT).unwrap();
    conn.execute_batch(INSERT).unwrap();
    drop(conn);
    let fixture = fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!((store.revision(), store.totals()), (2, Totals { records: 2, subjects: 2 }));
    assert_eq!(all(store, "33:1").await.rows.len(), 1);
    assert_eq!(all(store, "33:2").await, Found::default());
    let (_, changes) = store.changes_since(1).await.unwrap();
    assert_eq!(changes.subjects.join(" "), "33:1 33:2 33:9");
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.revision(), 2);
}

#[tokio::test]
async fn a_row_that_another_takes_the_place_of_is_noticed() {
    for sql in [
        "REPLACE INTO finance_data (id, stock_code, market_code, subject_key, report_date) \
         VALUES (1, '9', '33', '33:9', 500)",
        "UPDATE OR REPLACE finance_data SET id = 1 WHERE subject_key = '33:2'",
    ] {
        let fixture = two_subjects().await;
        let log = Arc::new(Log::default());
        fixture.store.observe(log.clone());
        Connection::open(fixture.path()).unwrap().execute_batch(sql).unwrap();
        fixture.store.register_indicators(vec!["margin".into()]).await.unwrap();
        assert!(log.0.lock()[0].contains("[33:1 33:"), "{sql}: {:?}", log.0.lock());
        assert_eq!(all(&fixture.store, "33:1").await, Found::default(), "{sql}");
        assert_eq!(fixture.store.totals().records, if sql.starts_with('R') { 2 } else { 1 });
        fixture.store.close().await;
        assert!(check(&fixture.path()).unwrap().is_sound(), "{sql}");
    }
}

#[tokio::test]
async fn a_date_that_is_no_whole_number_hides_no_other_row() {
    let fixture = two_subjects().await;
    let sql = "INSERT INTO finance_data (stock_code, market_code, subject_key, report_date) \
               VALUES ('1', '33', '33:1', 100.5)";
    Connection::open(fixture.path()).unwrap().execute_batch(sql).unwrap();
    let fixture = fixture.reopen().await;
    let rows = Rows::Newest { not_before: 0, at: 1_000 };
    let need = Need { subject: "33:1".into(), rows, indicators: [].into() };
    let found = fixture.store.read(vec![need]).await.unwrap().1.remove(0);
    assert_eq!(found.rows.iter().map(|row| row.report_date).collect::<Vec<_>>(), [100]);
    assert_eq!(all(&fixture.store, "33:1").await.rows.len(), 1);
}
