//! What a sample holds, and that it is always the same.

use std::path::Path;

use rusqlite::Connection;

use super::{SampleError, SampleOptions, SampleSummary, generate};
use crate::store::{Options, Store};

fn make(options: &SampleOptions) -> SampleSummary {
    generate(options, |_, _| {}).unwrap()
}

fn small(db: &Path) -> SampleOptions {
    SampleOptions { stocks: 20, from_year: 2022, to_year: 2023, ..SampleOptions::new(db) }
}

/// A number for all that a file holds.
fn fingerprint(db: &Path) -> u32 {
    let conn = Connection::open(db).unwrap();
    let mut crc = crc32fast::Hasher::new();
    for table in ["finance_data", "subject_tags", "subjects"] {
        let mut select = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for n in 0..columns {
                crc.update(format!("{:?}", row.get_ref(n).unwrap()).as_bytes());
            }
        }
    }
    crc.finalize()
}

#[test]
fn the_same_seed_gives_the_same_data_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, other) = (dir.path().join("1"), dir.path().join("2"), dir.path().join("3"));
    make(&small(&one));
    make(&small(&two));
    make(&SampleOptions { seed: 43, ..small(&other) });
    assert_eq!(fingerprint(&one), fingerprint(&two));
    assert_ne!(fingerprint(&one), fingerprint(&other));
    // If this number has to change, say so in the changelog: everybody's samples change with it.
    assert_eq!(fingerprint(&one), 3_726_948_135);
}

#[test]
fn holds_the_rows_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("db");
    let summary = make(&SampleOptions { rows: Some(415), ..small(&db) });
    assert_eq!((summary.rows, summary.stocks), (415, 20));
    let conn = Connection::open(&db).unwrap();
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT count(*) FROM finance_data"), 415);
    assert_eq!(one("SELECT records FROM store_state"), 415);
    assert_eq!(one("SELECT min(report_date) FROM finance_data"), summary.first);
    assert_eq!(one("SELECT max(report_date) FROM finance_data"), summary.last);
    assert_eq!(summary.last, 1_703_980_800);
    // 15 subjects with 21 quarters and 5 with 20.
    assert_eq!(one("SELECT min(row_count) * 100 + max(row_count) FROM subjects"), 2_021);
    assert_eq!(one("SELECT count(DISTINCT period) FROM finance_data"), 4);
    for n in 9..=16 {
        let subject =
            format!("SELECT row_count FROM subjects WHERE subject_key = '33:000000{n:02}'");
        assert_eq!(one(&subject), 21);
    }
    assert!(one("SELECT count(*) FROM finance_data WHERE net_profit IS NULL") > 0);
    assert!(one("SELECT count(*) FROM subject_tags WHERE id = 'concept'") >= 20);
}

#[tokio::test]
async fn opens_as_a_store_without_migration() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("db");
    make(&small(&db));
    let store = Store::open(Options::new(&db)).await.unwrap();
    assert_eq!((store.totals().records, store.totals().subjects), (160, 20));
    assert_eq!(store.revision(), 1);
    assert_eq!(store.indicators().len(), 6);
    let (_, members) = store.topic_members("stock_a_listing_pool").await.unwrap();
    assert_eq!(members.len(), 20);
    let (_, tagged) = store.tagged("stock_a_listing_pool", "concept", "", None).await.unwrap();
    assert_eq!(tagged, members);
}

#[test]
fn refuses_what_it_cannot_do_and_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("db");
    std::fs::write(&db, "precious").unwrap();
    assert!(matches!(generate(&small(&db), |_, _| {}), Err(SampleError::Exists(_))));
    for wrong in [
        SampleOptions { stocks: 7, overwrite: true, ..small(&db) },
        SampleOptions { from_year: 2024, overwrite: true, ..small(&db) },
        SampleOptions { from_year: 0, overwrite: true, ..small(&db) },
        SampleOptions { rows: Some(7), overwrite: true, ..small(&db) },
        SampleOptions { rows: Some(200_000), overwrite: true, ..small(&db) },
    ] {
        assert!(matches!(generate(&wrong, |_, _| {}), Err(SampleError::Option(_))), "{wrong:?}");
    }
    assert_eq!(std::fs::read(&db).unwrap(), b"precious");
    make(&SampleOptions { overwrite: true, ..small(&db) });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
