//! Reading what was written, and writing over it.

use super::*;
use crate::{
    model::IndicatorId,
    store::{StoreError, Totals},
};

const YEAR_END: Epoch = 1_703_980_800;

#[tokio::test]
async fn gives_back_what_was_written_and_derives_the_rest_from_the_date() {
    let fixture = Fixture::new().await;
    let written = fixture.store.ingest(incomes(&[("33:1", YEAR_END, Some(1.5))]), false).await;
    assert_eq!(written.unwrap().revision, 1);
    let found = all(&fixture.store, "33:1").await;
    assert_eq!(found.rows[0].values[..], [Some(1.5), None]);
    let info = &found.rows[0].info;
    assert_eq!((&*info.end_date, &*info.year, &*info.period), ("2023-12-31", "2023", "596004"));
    assert_eq!(found.subject.unwrap().category.as_deref(), Some("stock"));
    let again = fixture.reopen().await;
    assert_eq!(again.store.revision(), 1);
    assert_eq!(again.store.totals(), Totals { records: 1, subjects: 1 });
    assert_eq!(all(&again.store, "33:1").await.rows, found.rows);
}

#[tokio::test]
async fn ranges_are_inclusive_and_the_newest_is_the_newest_allowed() {
    let fixture = Fixture::new().await;
    let rows: Vec<_> = (1..=5).map(|n| ("33:1", n * 10, Some(n as f64))).collect();
    fixture.store.ingest(incomes(&rows), false).await.unwrap();
    let need = |rows| Need { subject: "33:1".into(), rows, indicators: [IndicatorId(0)].into() };
    for (rows, expected) in [
        (Rows::Between { from: 20, to: 40 }, vec![20, 30, 40]),
        (Rows::Between { from: 21, to: 29 }, vec![]),
        (Rows::Between { from: 40, to: 20 }, vec![]),
        (Rows::Between { from: Epoch::MIN, to: Epoch::MAX }, vec![10, 20, 30, 40, 50]),
        (Rows::Newest { not_before: Epoch::MIN, at: Epoch::MAX }, vec![50]),
        (Rows::Newest { not_before: 10, at: 39 }, vec![30]),
        (Rows::Newest { not_before: 31, at: 39 }, vec![]),
    ] {
        let (revision, found) = fixture.store.read(vec![need(rows)]).await.unwrap();
        let dates: Vec<_> = found[0].rows.iter().map(|row| row.report_date).collect();
        assert_eq!((revision, dates), (1, expected), "{rows:?}");
    }
}

#[tokio::test]
async fn needs_are_answered_in_their_order_and_unknown_subjects_as_unknown() {
    let fixture = Fixture::new().await;
    let batch = incomes(&[("33:1", 10, Some(1.0)), ("33:2", 10, None)]);
    fixture.store.ingest(batch, false).await.unwrap();
    let rows = Rows::Newest { not_before: Epoch::MIN, at: Epoch::MAX };
    let need = |subject: &str, ids: &[u16]| Need {
        subject: subject.into(),
        rows,
        indicators: ids.iter().map(|id| IndicatorId(*id)).collect(),
    };
    let needs =
        vec![need("33:2", &[0]), need("33:3", &[0]), need("33:1", &[1, 0]), need("33:1", &[])];
    let (_, found) = fixture.store.read(needs).await.unwrap();
    let values: Vec<_> = found.iter().map(|f| f.rows.first().map(|row| &row.values[..])).collect();
    assert_eq!(values, [Some(&[None][..]), None, Some(&[None, Some(1.0)]), Some(&[])]);
    assert_eq!(found[1], Found::default());
    assert!(found[3].subject.is_some());
}

#[tokio::test]
async fn what_a_row_does_not_name_keeps_its_value() {
    let fixture = Fixture::new().await;
    let mut batch = RowBatch::default();
    let both = [("operating_income", Some(1.0)), ("parent_holder_net_profit", Some(2.0))];
    let facts = RowFacts { declare_date: Some("2024-03-01".into()), ..named("Ping An") };
    batch.add("33:1", YEAR_END, &both, facts);
    fixture.store.ingest(batch, false).await.unwrap();
    let mut batch = RowBatch::default();
    batch.add("33:1", YEAR_END, &[("operating_income", None)], RowFacts::default());
    batch.add("33:1", YEAR_END, &[], RowFacts::default());
    batch.add("33:1", YEAR_END + 1, &[("operating_income", Some(3.0))], RowFacts::default());
    assert_eq!(fixture.store.ingest(batch, false).await.unwrap().value, 3);
    let found = all(&fixture.store, "33:1").await;
    assert_eq!(found.rows[0].values[..], [None, Some(2.0)]);
    assert_eq!(found.rows[0].info.declare_date.as_deref(), Some("2024-03-01"));
    assert_eq!(found.rows[1].values[..], [Some(3.0), None]);
    assert_eq!(found.subject.unwrap().name.as_deref(), Some("Ping An"));
    assert_eq!(fixture.store.totals(), Totals { records: 2, subjects: 1 });
}

#[tokio::test]
async fn facts_belong_to_the_subject_whichever_row_names_them() {
    let fixture = Fixture::new().await;
    fixture.store.ingest(incomes(&[("33:1", 100, Some(1.0))]), false).await.unwrap();
    let mut batch = RowBatch::default();
    let moved = RowFacts { topic: Some("pool_b".into()), ..named("New") };
    batch.add("33:1", 50, &[], moved);
    fixture.store.ingest(batch, false).await.unwrap();
    assert_eq!(all(&fixture.store, "33:1").await.subject.unwrap().name.as_deref(), Some("New"));
    let members = async |topic: &str| fixture.store.topic_members(topic).await.unwrap().1;
    assert_eq!(members("pool_b").await, ["33:1".into()]);
    assert_eq!(members("stock_a_listing_pool").await, []);
    // The newest row tells it too, for whoever reads the file itself.
    let conn = rusqlite::Connection::open(fixture.path()).unwrap();
    let sql = "SELECT stock_name || topic FROM finance_data WHERE report_date = 100";
    assert_eq!(conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), "Newpool_b");
}

#[tokio::test]
async fn a_refused_batch_changes_nothing_and_takes_no_revision() {
    let fixture = Fixture::new().await;
    let mut batch = incomes(&[("33:1", 10, Some(1.0))]);
    batch.add("33:2", 10, &[("net_profit", Some(1.0))], RowFacts::default());
    let refused = fixture.store.ingest(batch.clone(), false).await.unwrap_err();
    assert_eq!(refused, StoreError::UnknownIndicator { name: "net_profit".into(), line: 0 });
    assert_eq!((fixture.store.revision(), fixture.store.totals()), (0, Totals::default()));
    assert_eq!(all(&fixture.store, "33:1").await, Found::default());
    let written = fixture.store.ingest(batch, true).await.unwrap();
    assert_eq!((written.revision, written.value), (1, 2));
    assert_eq!(fixture.store.indicators().len(), 3);
}

#[tokio::test]
async fn indicators_are_registered_once_and_under_names_that_can_be_one() {
    let fixture = Fixture::new().await;
    let register = async |names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect();
        fixture.store.register_indicators(names).await
    };
    assert_eq!(register(&["net_profit", "_x1", "net_profit"]).await.unwrap().value, 2);
    assert_eq!(register(&["net_profit"]).await.unwrap().value, 0);
    for bad in [
        "",
        "1a",
        "Net",
        "a b",
        "a\"; DROP TABLE finance_data; --",
        "é",
        "year",
        "topic",
        "id",
        "subject",
        "combine",
        "rowid",
        "report_date",
        &"x".repeat(65),
    ] {
        let refused = register(&["fine", bad]).await.unwrap_err();
        assert!(matches!(refused, StoreError::InvalidIndicator { .. }), "{bad:?}: {refused}");
    }
    let names: Vec<_> =
        fixture.store.indicators().names().iter().map(ToString::to_string).collect();
    let expected = ["operating_income", "parent_holder_net_profit", "net_profit", "_x1"];
    assert_eq!(names, expected);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.indicators().names().len(), 4);
}

#[tokio::test]
async fn selections_find_keywords_in_any_case_and_take_wildcards_as_letters() {
    let fixture = Fixture::new().await;
    let batch = incomes(&[("33:1", 1, None), ("33:2", 1, None), ("33:3", 1, None)]);
    fixture.store.ingest(batch, false).await.unwrap();
    let tag = |subject: &str, keyword: &str| crate::store::Tag {
        subject: subject.into(),
        id: "concept".into(),
        keyword: keyword.into(),
    };
    let tags = vec![
        tag("33:1", "AI芯片"),
        tag("33:2", "ÉNERGIE"),
        tag("33:3", "100%_sure"),
        tag("33:3", "ai"),
        tag("33:9", "ai"),
    ];
    fixture.store.add_tags(tags).await.unwrap();
    let find = async |keyword: &str, only: Option<&[&str]>| {
        let only = only.map(|only| only.iter().map(|s| Subject::from(*s)).collect());
        let topic = "stock_a_listing_pool";
        let found = fixture.store.tagged(topic, "concept", keyword, only).await.unwrap().1;
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(find("", None).await, "33:1 33:2 33:3");
    assert_eq!(find("Ai", None).await, "33:1 33:3");
    assert_eq!(find("énerg", None).await, "33:2");
    assert_eq!(find("%", None).await, "33:3");
    assert_eq!(find("0_s", None).await, "");
    assert_eq!(find("芯", None).await, "33:1");
    assert_eq!(find("ai", Some(&["33:3", "33:9"])).await, "33:3");
    assert_eq!(find("ai", Some(&[])).await, "");
}

#[tokio::test]
async fn tells_what_changed_since_a_revision() {
    let fixture = Fixture::new().await;
    for n in 1..=3 {
        fixture.store.ingest(incomes(&[(&format!("33:{n}"), 1, None)]), false).await.unwrap();
    }
    fixture.store.ingest(incomes(&[("33:1", 1, Some(1.0))]), false).await.unwrap();
    let since = async |revision| {
        let (now, changes) = fixture.store.changes_since(revision).await.unwrap();
        assert_eq!(now, 4);
        (changes.subjects.join(" "), changes.membership)
    };
    assert_eq!(since(0).await, ("33:1 33:2 33:3".into(), true));
    assert_eq!(since(2).await, ("33:1 33:3".into(), true));
    assert_eq!(since(3).await, ("33:1".into(), false));
    assert_eq!(since(4).await, (String::new(), false));
}

#[tokio::test]
async fn a_closed_store_says_so_and_leaves_no_log_behind() {
    let fixture = Fixture::new().await;
    fixture.store.ingest(incomes(&[("33:1", 1, None)]), false).await.unwrap();
    let other = fixture.store.clone();
    fixture.store.close().await;
    fixture.store.close().await;
    assert_eq!(other.read(vec![]).await.unwrap_err(), StoreError::Closed);
    let refused = other.ingest(incomes(&[("33:1", 2, None)]), false).await.unwrap_err();
    assert_eq!(refused, StoreError::Closed);
    let files: Vec<_> = std::fs::read_dir(fixture.dir.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[tokio::test]
async fn a_row_counts_once_however_many_needs_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_rows: 3, ..Options::new(dir.path().join("store.db")) };
    let store = Store::open(options).await.unwrap();
    let rows: Vec<_> = (0..3).flat_map(|at| [("33:1", at, None), ("33:2", at, None)]).collect();
    store.ingest(incomes(&rows), false).await.unwrap();
    let need = |subject: &str, to, indicator: &str| Need {
        subject: subject.into(),
        rows: Rows::Between { from: 0, to },
        indicators: store.indicators().id(indicator).into_iter().collect(),
    };
    let [one, two] = ["operating_income", "parent_holder_net_profit"];
    let same = vec![need("33:1", 2, one), need("33:1", 1, two), need("33:1", 2, two)];
    assert_eq!(store.read(same).await.unwrap().1[1].rows.len(), 2);
    let others = vec![need("33:1", 2, one), need("33:1", 2, two), need("33:2", 0, one)];
    let refused = store.read(others).await.unwrap_err();
    assert_eq!(refused, StoreError::TooManyRows { limit: 3 });
}

#[tokio::test]
async fn a_store_knows_the_commits_of_its_log_again() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut marks = vec![store.mark()];
    for at in 0..3 {
        store.ingest(incomes(&[("33:1", at, None)]), false).await.unwrap();
        marks.push(store.mark());
    }
    for mark in &marks[1..] {
        assert_eq!(store.nonce_of(mark.revision).await.unwrap(), Some(mark.nonce), "{mark:?}");
    }
    for unknown in [4, u64::MAX] {
        assert_eq!(store.nonce_of(unknown).await.unwrap(), None);
    }
}
