//! Files of older programs, and files of something else.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::store::{OpenReason, Totals, check};

/// The table as it always was, word for word.
const LEGACY: &str = "CREATE TABLE finance_data(id INTEGER PRIMARY KEY AUTOINCREMENT, \
    stock_code TEXT NOT NULL, market_code TEXT NOT NULL, subject_key TEXT NOT NULL, \
    stock_name TEXT, report_date INTEGER NOT NULL, end_date TEXT, year TEXT, period TEXT, \
    operating_income REAL, parent_holder_net_profit REAL, category TEXT DEFAULT 'stock', \
    topic TEXT DEFAULT 'stock_a_listing_pool')";

fn legacy(path: &Path, more: &str) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(LEGACY).unwrap();
    conn.execute_batch(more).unwrap();
    conn
}

/// Every row of a table as text, the columns in the order given.
fn dump(conn: &Connection, columns: &str, table: &str) -> Vec<String> {
    let mut select = conn.prepare(&format!("SELECT {columns} FROM {table} ORDER BY id")).unwrap();
    let width = select.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        Ok((0..width).map(|n| format!("{:?} ", row.get_ref(n).unwrap())).collect())
    };
    select.query_map([], row).unwrap().map(Result::unwrap).collect()
}

const REPEATED: &str = "
    ALTER TABLE finance_data ADD COLUMN \"Odd \"\"name\" DOUBLE PRECISION;
    ALTER TABLE finance_data ADD COLUMN note TEXT;
    INSERT INTO finance_data (stock_code, market_code, subject_key, stock_name, report_date,
      operating_income, topic, \"Odd \"\"name\", note) VALUES
      ('1', '33', '33:1', 'old name', 100, 1.0, 'pool_a', 7.5, 'kept'),
      ('1', '33', '33:1', 'first', 200, 2.0, 'pool_b', NULL, NULL),
      ('1', '33', '33:1', 'second', 200, 3.0, 'pool_b', NULL, 'kept too'),
      ('2', '33', '33:2', NULL, 100, NULL, NULL, NULL, NULL),
      ('1', '33', '33:1', NULL, 200, 4.0, 'pool_b', 8.5, NULL);
    CREATE TABLE subject_tags(subject_key TEXT, id TEXT, keyword TEXT,
      PRIMARY KEY(subject_key,id,keyword));
    INSERT INTO subject_tags VALUES ('33:1', 'concept', 'AI'), ('33:1', NULL, NULL);
    PRAGMA user_version = 7;";

async fn open(path: &Path) -> Store {
    Store::open(Options::new(path)).await.unwrap()
}

#[tokio::test]
async fn a_legacy_file_opens_in_place_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    let conn = legacy(&path, REPEATED);
    let columns = "id, stock_code, market_code, subject_key, stock_name, report_date, end_date, \
                   year, period, operating_income, parent_holder_net_profit, category, topic, \
                   \"Odd \"\"name\", note";
    let before = dump(&conn, columns, "finance_data");
    drop(conn);

    let store = open(&path).await;
    assert_eq!((store.revision(), store.totals()), (1, Totals { records: 3, subjects: 2 }));
    let names: Vec<_> = store.indicators().names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["operating_income", "parent_holder_net_profit", "Odd \"name"]);
    let found = all(&store, "33:1").await;
    assert_eq!(found.rows[0].values[..], [Some(1.0), None, Some(7.5)]);
    assert_eq!(found.rows[1].values[..], [Some(4.0), None, Some(8.5)]);
    assert_eq!(&*found.rows[1].info.end_date, "1970-01-01");
    // The newest row that counts has no name, so the one before it tells.
    assert_eq!(found.subject.unwrap().name.as_deref(), Some("old name"));
    assert_eq!(store.topic_members("pool_b").await.unwrap().1, ["33:1".into()]);
    assert_eq!(store.topic_members("stock_a_listing_pool").await.unwrap().1, ["33:2".into()]);
    let tagged = store.tagged("pool_b", "concept", "ai", None).await.unwrap().1;
    assert_eq!(tagged, ["33:1".into()]);
    store.close().await;

    let conn = Connection::open(&path).unwrap();
    let mut after = dump(&conn, columns, "finance_data");
    after.extend(dump(&conn, columns, "finance_data_superseded"));
    after.sort();
    assert_eq!(after, before);
    let tags: i64 = conn.query_row("SELECT count(*) FROM subject_tags", [], |r| r.get(0)).unwrap();
    assert_eq!(tags, 2);
}

#[tokio::test]
async fn opening_a_migrated_file_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    drop(legacy(&path, REPEATED));
    open(&path).await.close().await;
    let once = std::fs::read(&path).unwrap();
    let store = open(&path).await;
    assert_eq!(store.revision(), 1);
    store.close().await;
    assert!(std::fs::read(&path).unwrap() == once, "the file was changed");
}

#[tokio::test]
async fn an_empty_legacy_table_is_the_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    drop(legacy(&path, ""));
    let store = open(&path).await;
    assert_eq!((store.revision(), store.totals()), (0, Totals::default()));
    store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    assert_eq!(store.revision(), 1);
}

#[tokio::test]
async fn values_that_are_no_numbers_count_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    let odd = "INSERT INTO finance_data (stock_code, market_code, subject_key, report_date, year, \
               operating_income, parent_holder_net_profit) VALUES \
               ('1', '33', '33:1', 1, 2020, 'text', 9e999), ('1', '33', '33:1', 'x', '', x'00', 5)";
    drop(legacy(&path, odd));
    let report = check(&path).unwrap();
    assert!(report.is_sound() && !report.migrated && report.findings.len() == 3, "{report}");
    let store = open(&path).await;
    let found = all(&store, "33:1").await;
    assert_eq!(found.rows.len(), 1);
    assert_eq!((&found.rows[0].values[..], &*found.rows[0].info.year), (&[None, None][..], "2020"));
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let refused = async |name: &str| {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).ok();
        let error = Store::open(Options::new(&path)).await.unwrap_err();
        assert!(std::fs::read(&path).ok() == before, "{name} was changed");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        error.reason
    };
    std::fs::write(dir.path().join("text"), "not a database at all, but long enough".repeat(99))
        .unwrap();
    assert!(matches!(refused("text").await, OpenReason::Damaged(_)));
    let sql = "CREATE TABLE bookmarks(id)";
    Connection::open(dir.path().join("other")).unwrap().execute_batch(sql).unwrap();
    assert!(matches!(refused("other").await, OpenReason::Foreign(_)));
    let sql = "CREATE TABLE finance_data(id INTEGER PRIMARY KEY, amount REAL)";
    Connection::open(dir.path().join("columns")).unwrap().execute_batch(sql).unwrap();
    let reason = refused("columns").await;
    assert!(reason.to_string().contains("no column stock_code"), "{reason}");
    std::fs::create_dir(dir.path().join("directory")).unwrap();
    assert!(matches!(refused("directory").await, OpenReason::Sqlite(_)));
    open(&dir.path().join("newer")).await.close().await;
    let sql = "UPDATE store_state SET schema = 99";
    Connection::open(dir.path().join("newer")).unwrap().execute_batch(sql).unwrap();
    assert!(matches!(refused("newer").await, OpenReason::Newer { found: 99, .. }));
}
