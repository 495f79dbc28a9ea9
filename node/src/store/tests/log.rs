//! The change log: whoever follows it ends equal, from anywhere, after anything.

use std::{collections::BTreeMap, path::Path, time::Duration};

use proptest::prelude::*;
use rusqlite::{Connection, types::Value};

use super::*;
use crate::store::{
    Change, Cursor, DataSave, DataTable, LogLimits, Mark, SaveMode, StoreError, Tag, check,
};

/// All that two equal stores have in common, table by table, row by row.
pub(super) fn content(path: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let conn = Connection::open(path).unwrap();
    let tables = [
        ("finance_data", "id"),
        ("subject_tags", "subject_key, id, keyword"),
        ("subjects", "subject_key"),
        ("data_info", "table_id, id"),
        ("data_points", "table_id, id, at"),
        ("pragma_table_info('finance_data')", "cid"),
    ];
    let mut all = BTreeMap::new();
    for (table, order) in tables {
        let mut select = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")).unwrap();
        let count = select.column_count();
        let rows = select
            .query_map([], |row| (0..count).map(|n| row.get(n)).collect::<Result<Vec<_>, _>>())
            .unwrap();
        all.insert(table.to_owned(), rows.map(Result::unwrap).collect());
    }
    let state = "SELECT revision, membership_revision, records, subjects FROM store_state";
    let state = conn.query_row(state, [], |row| (0..4).map(|n| row.get(n)).collect());
    all.insert("state".into(), vec![state.unwrap()]);
    all
}

/// A store that follows, made from a copy of `master`.
async fn follower(master: &Fixture) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mark = master.store.copy_to(&dir.path().join("store.db")).await.unwrap();
    let fixture = open_follower(dir).await;
    assert_eq!(*fixture.store.mark(), mark);
    fixture
}

async fn open_follower(dir: tempfile::TempDir) -> Fixture {
    let path = dir.path().join("store.db");
    let options = Options { durability: Durability::Normal, follows: true, ..Options::new(path) };
    Fixture { store: Store::open(options).await.unwrap(), dir }
}

/// The next whole commits after where `slave` is; `None` at a gap.
async fn next(master: &Store, slave: &Store, bytes: usize) -> Option<Vec<Change>> {
    let mut cursor = Cursor::after(&slave.mark());
    let mut changes: Vec<Change> = Vec::new();
    loop {
        let read = master.log_after(&cursor, bytes).await.unwrap();
        if read.gap {
            return None;
        }
        for change in read.changes {
            assert!(cursor.advance(&change));
            changes.push(change);
        }
        if changes.last().is_none_or(|change| change.ends) {
            return Some(changes);
        }
    }
}

/// Follows to the end.
async fn follow(master: &Store, slave: &Store) {
    while let Some(changes) = next(master, slave, 1).await {
        if changes.is_empty() {
            break;
        }
        slave.apply(changes).await.unwrap();
    }
    assert_eq!(slave.mark(), master.mark());
}

async fn assert_equal(master: &Fixture, slave: &Fixture) {
    assert_eq!(slave.store.mark(), master.store.mark());
    assert_eq!(slave.store.totals(), master.store.totals());
    assert_eq!(slave.store.indicators().names(), master.store.indicators().names());
    assert_eq!(content(&slave.path()), content(&master.path()));
}

#[derive(Clone, Debug)]
enum Step {
    Ingest(Vec<(u8, u8, Option<u8>, Option<u8>)>, bool),
    Fail,
    Together(u8),
    Register(u8),
    Tags(u8),
    Save(u8, u8, bool),
    Delete(u8),
    Outside(u8),
    /// The slave goes so far with what is there, then dies and is opened again.
    Follow(u8, bool),
    ReopenMaster,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..4_u8, 0..5_u8, prop::option::of(0..9_u8), prop::option::weighted(0.2, 0..3_u8));
    let rows = prop::collection::vec(row, 1..6);
    prop_oneof![
        6 => (rows, any::<bool>()).prop_map(|(rows, nulls)| Step::Ingest(rows, nulls)),
        1 => Just(Step::Fail),
        2 => (2..6_u8).prop_map(Step::Together),
        1 => (0..4_u8).prop_map(Step::Register),
        1 => (0..4_u8).prop_map(Step::Tags),
        2 => (0..3_u8, 0..5_u8, any::<bool>()).prop_map(|(id, n, r)| Step::Save(id, n, r)),
        1 => (0..3_u8).prop_map(Step::Delete),
        1 => (0..8_u8).prop_map(Step::Outside),
        4 => (0..4_u8, any::<bool>()).prop_map(|(n, dies)| Step::Follow(n, dies)),
        1 => Just(Step::ReopenMaster),
    ]
}

fn rows(lines: &[(u8, u8, Option<u8>, Option<u8>)], extra: bool) -> RowBatch {
    let mut batch = RowBatch::default();
    for (subject, at, value, fact) in lines {
        let mut values = vec![("operating_income", value.map(f64::from))];
        if extra {
            values.push(("net_profit", Some(f64::from(*at))));
        }
        let facts = RowFacts {
            name: fact.map(|n| format!("name {n}").into()),
            topic: fact.map(|n| format!("topic {n}").into()),
            ..RowFacts::default()
        };
        batch.add(&format!("33:{subject}"), i64::from(*at) * 8_000_000, &values, facts);
    }
    batch
}

/// What a script may do to the file.
fn outside(path: &Path, kind: u8) {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_secs(20)).unwrap();
    // A row that moves may meet another: then the script fails, and nothing happened.
    let _ = conn.execute_batch(match kind {
        0 => {
            "INSERT INTO finance_data (stock_code, market_code, subject_key, report_date, topic) \
              SELECT '9', '33', '33:9', 1 + coalesce(max(report_date), 0), 'pool' FROM finance_data"
        }
        1 => "UPDATE finance_data SET operating_income = -1.5 WHERE subject_key = '33:1'",
        2 => "DELETE FROM finance_data WHERE subject_key = '33:2'",
        3 => {
            "UPDATE finance_data SET subject_key = '33:8', stock_code = '8' \
              WHERE subject_key = '33:3'"
        }
        4 => {
            "INSERT OR IGNORE INTO subject_tags VALUES ('33:1', 'concept', 'AI'), (NULL, 'a', 'b')"
        }
        5 => "DELETE FROM subject_tags WHERE keyword = 'AI'",
        6 => "UPDATE finance_data SET stock_name = x'ff00', year = 2020 WHERE subject_key = '33:1'",
        _ => {
            "UPDATE finance_data SET id = (SELECT 10 + max(id) FROM finance_data) \
              WHERE id = (SELECT min(id) FROM finance_data)"
        }
    });
}

async fn perform(step: &Step, master: &mut Fixture, slave: &mut Fixture) {
    let store = &master.store;
    match step {
        Step::Ingest(lines, extra) => {
            store.ingest(rows(lines, *extra), true).await.unwrap();
        }
        Step::Fail => {
            let mut batch = rows(&[(1, 1, Some(1), None)], false);
            batch.add("33:1", 1, &[("not a name", None)], RowFacts::default());
            store.ingest(batch, true).await.unwrap_err();
        }
        Step::Together(count) => {
            let one = |n| store.ingest(rows(&[(n % 4, n, Some(n), Some(n % 3))], false), false);
            futures_util::future::join_all((0..*count).map(one)).await;
        }
        Step::Register(n) => {
            store.register_indicators(vec![format!("indicator_{n}")]).await.unwrap();
        }
        Step::Tags(n) => {
            let tag = |k| Tag { subject: format!("33:{k}"), id: "c".into(), keyword: "x".into() };
            store.add_tags((0..=*n).map(tag).collect()).await.unwrap();
        }
        Step::Save(id, n, replaces) => {
            let point = |at| (i64::from(at), serde_json::from_str(&format!("[{at}]")).unwrap());
            let save = DataSave {
                table: DataTable::Stock,
                id: format!("{id}"),
                points: (0..=*n).map(point).collect(),
                create_time: Some(format!("2024-01-0{} 00:00:00", n + 1)),
                now: i64::from(*n),
                mode: if *replaces { SaveMode::Replace } else { SaveMode::Merge },
            };
            store.data_save(save).await.unwrap();
        }
        Step::Delete(id) => {
            store.data_delete(DataTable::Stock, &id.to_string()).await.unwrap();
        }
        Step::Outside(kind) => {
            outside(&master.path(), *kind);
            store.register_indicators(vec!["operating_income".into()]).await.unwrap();
        }
        Step::Follow(count, dies) => {
            for _ in 0..*count {
                match next(store, &slave.store, 1).await.expect("nothing was dropped") {
                    none if none.is_empty() => break,
                    changes => slave.store.apply(changes).await.map(drop).unwrap(),
                }
            }
            if *dies {
                let fixture = std::mem::replace(slave, Fixture::new().await);
                fixture.store.close().await;
                *slave = open_follower(fixture.dir).await;
            }
        }
        Step::ReopenMaster => {
            let fixture = std::mem::replace(master, Fixture::new().await);
            *master = fixture.reopen().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn who_follows_from_anywhere_ends_equal(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut master = Fixture::new().await;
            let first = (0..4).map(|n| (n, n, Some(n), None)).collect::<Vec<_>>();
            master.store.ingest(rows(&first, false), false).await.unwrap();
            let mut slave = follower(&master).await;
            for step in &steps {
                perform(step, &mut master, &mut slave).await;
            }
            follow(&master.store, &slave.store).await;
            assert_equal(&master, &slave).await;
            slave.store.close().await;
            master.store.close().await;
            assert_eq!(check(&slave.path()).unwrap(), check(&master.path()).unwrap());
        });
    }
}

#[tokio::test]
async fn each_change_is_applied_once_in_order_and_whole_or_not_at_all() {
    let master = Fixture::new().await;
    let slave = follower(&master).await;
    for n in 0..3 {
        master.store.ingest(incomes(&[("33:1", n, Some(1.0))]), false).await.unwrap();
    }
    let mut changes = next(&master.store, &slave.store, 1 << 20).await.unwrap();
    assert_eq!(changes.len(), 3);
    let before = content(&slave.path());
    let mut cut = changes.clone();
    cut[2].ops.pop();
    let mut other = changes.clone();
    other[1].before ^= 1;
    for wrong in [changes[1..].to_vec(), cut, other, Vec::new()] {
        let refused = slave.store.apply(wrong).await.unwrap_err();
        assert!(matches!(refused, StoreError::Diverged(_)), "{refused}");
        assert_eq!(content(&slave.path()), before);
    }
    let log = std::sync::Arc::new(Log::default());
    slave.store.observe(log.clone());
    assert_eq!(slave.store.apply(changes.clone()).await.unwrap().revision, 3);
    assert_eq!(*log.0.lock(), ["before 3 [33:1] true", "after 3 [33:1] true"]);
    slave.store.apply(changes.split_off(2)).await.unwrap_err();
    assert_equal(&master, &slave).await;
}

#[tokio::test]
async fn revisions_and_parts_beyond_all_are_refused() {
    let master = Fixture::new().await;
    let slave = follower(&master).await;
    master.store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let good = next(&master.store, &slave.store, 1).await.unwrap();
    let whole = |change: &Change| Change { part: 0, ends: true, ..change.clone() };
    for number in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 47] {
        let (mut last, mut first) = (whole(&good[0]), whole(&good[0]));
        last.last = number;
        first.first = number;
        let mut after = whole(&good[0]);
        (after.first, after.last, after.before) = (number, number, last.nonce);
        for changes in [vec![first], vec![last.clone()], vec![last, after]] {
            let refused = slave.store.apply(changes).await.unwrap_err();
            assert!(matches!(refused, StoreError::Diverged(_)), "{number}: {refused}");
        }
        let cursor = Cursor::after(&Mark { revision: number, ..(*master.store.mark()).clone() });
        assert!(master.store.log_after(&cursor, 1).await.unwrap().gap, "{number}");
    }
    follow(&master.store, &slave.store).await;
    assert_equal(&master, &slave).await;
}

#[tokio::test]
async fn what_does_not_fit_what_is_there_is_refused() {
    let master = Fixture::new().await;
    master.store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let slave = follower(&master).await;
    master.store.ingest(incomes(&[("33:1", 1, Some(2.0))]), false).await.unwrap();
    let changes = next(&master.store, &slave.store, 1).await.unwrap();
    slave.store.close().await;
    let conn = Connection::open(slave.path()).unwrap();
    conn.execute_batch("DROP TRIGGER finance_data_deleted_outside; DELETE FROM finance_data")
        .unwrap();
    conn.execute_batch(
        "CREATE TRIGGER finance_data_deleted_outside AFTER DELETE ON finance_data BEGIN SELECT 1; END",
    )
    .unwrap();
    drop(conn);
    let slave = open_follower(slave.dir).await;
    let refused = slave.store.apply(changes).await.unwrap_err();
    assert_eq!(refused, StoreError::Diverged("a row to be changed is not there"));
}

#[tokio::test]
async fn a_follower_takes_no_writes_of_its_own_and_disowns_what_others_write() {
    let master = Fixture::new().await;
    master.store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let slave = follower(&master).await;
    let refused = slave.store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap_err();
    assert_eq!(refused, StoreError::Follows);
    outside(&slave.path(), 1);
    master.store.ingest(incomes(&[("33:1", 2, None)]), false).await.unwrap();
    let mut cursor = Cursor::after(&slave.store.mark());
    let changes = master.store.log_after(&cursor, 1).await.unwrap().changes;
    assert!(cursor.advance(&changes[0]));
    slave.store.apply(changes).await.unwrap_err();
    assert_eq!((&*slave.store.mark().lineage, slave.store.revision()), ("", 1));
}

#[tokio::test]
async fn a_log_is_bounded_and_who_is_too_far_behind_meets_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let limits = LogLimits { commits: 5, ..LogLimits::default() };
    let path = dir.path().join("store.db");
    let options = Options { durability: Durability::Normal, log: limits, ..Options::new(&path) };
    let master = Fixture { store: Store::open(options).await.unwrap(), dir };
    let (early, late) = (follower(&master).await, follower(&master).await);
    for n in 0..20 {
        master.store.ingest(incomes(&[("33:1", n, Some(1.0))]), false).await.unwrap();
        if n > 10 {
            continue;
        }
        follow(&master.store, &late.store).await;
    }
    assert_eq!(next(&master.store, &early.store, 1).await, None);
    assert_eq!(next(&master.store, &late.store, 1).await, None);
    let count = "SELECT count(*) FROM change_log";
    let conn = Connection::open(&path).unwrap();
    assert_eq!(conn.query_row(count, [], |row| row.get::<_, i64>(0)), Ok(5));
    let fresh = follower(&master).await;
    assert_eq!(next(&master.store, &fresh.store, 1).await, Some(Vec::new()));
    assert_equal(&master, &fresh).await;
}

#[tokio::test]
async fn a_commit_in_many_parts_is_one_change_and_one_too_large_for_the_log_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let limits = LogLimits { bytes: 2 << 20, ..LogLimits::default() };
    let path = dir.path().join("store.db");
    let options = Options { durability: Durability::Normal, log: limits, ..Options::new(&path) };
    let master = Fixture { store: Store::open(options).await.unwrap(), dir };
    let slave = follower(&master).await;
    let many = |count: i64| {
        let rows: Vec<_> = (0..count).map(|n| ("33:1", n, Some(n as f64))).collect();
        incomes(&rows)
    };
    master.store.ingest(many(10_000), false).await.unwrap();
    let changes = next(&master.store, &slave.store, 1).await.unwrap();
    assert!(changes.len() > 2, "{}", changes.len());
    slave.store.apply(changes).await.unwrap();
    assert_equal(&master, &slave).await;
    master.store.ingest(many(60_000), false).await.unwrap();
    assert_eq!(next(&master.store, &slave.store, 1).await, None);
    let again = follower(&master).await;
    master.store.ingest(many(10), false).await.unwrap();
    follow(&master.store, &again.store).await;
    assert_equal(&master, &again).await;
}

#[tokio::test]
async fn a_master_put_back_to_an_old_state_is_told_from_the_one_it_was() {
    let master = Fixture::new().await;
    master.store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let backup = follower(&master).await;
    master.store.ingest(incomes(&[("33:1", 2, Some(1.0))]), false).await.unwrap();
    let slave = follower(&master).await;
    // The backup becomes the master, and goes on to the same revision another way.
    backup.store.close().await;
    let restored = Fixture::open(backup.dir).await;
    assert_eq!(next(&restored.store, &slave.store, 1).await, None, "the slave is ahead");
    restored.store.ingest(incomes(&[("33:1", 3, Some(3.0))]), false).await.unwrap();
    assert_eq!(restored.store.revision(), slave.store.revision());
    assert_eq!(next(&restored.store, &slave.store, 1).await, None, "another revision 2");
    restored.store.ingest(incomes(&[("33:1", 4, Some(3.0))]), false).await.unwrap();
    assert_eq!(next(&restored.store, &slave.store, 1).await, None, "revision 3 follows another 2");
}
