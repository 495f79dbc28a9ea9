//! Data management.

use serde_json::value::RawValue;

use super::*;
use crate::store::{DataSave, DataSearch, DataTable, SaveMode};

fn save(id: &str, points: &[(Epoch, &str)], now: Epoch) -> DataSave {
    let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
    DataSave {
        table: DataTable::Stock,
        id: id.into(),
        points: points.iter().map(|(at, json)| (*at, raw(json))).collect(),
        create_time: None,
        now,
        mode: SaveMode::Merge,
    }
}

async fn shown(store: &Store, table: DataTable, id: &str) -> String {
    serde_json::to_string(&store.data_get(table, id).await.unwrap()).unwrap()
}

#[tokio::test]
async fn points_merge_or_replace_and_the_first_create_time_stays() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let created = Some("2024-01-01 00:00:00".to_owned());
    let first =
        DataSave { create_time: created, ..save("a", &[(-5, "[1]"), (7, "[1.50, \"x\"]")], 9) };
    assert_eq!(store.data_save(first).await.unwrap().revision, 1);
    let later =
        DataSave { create_time: Some("later".into()), ..save("a", &[(7, "[2]"), (8, "[]")], 10) };
    assert_eq!(store.data_save(later).await.unwrap().revision, 2);
    let merged = r#"{"id":"a","data":{"-5":[1],"7":[2],"8":[]},"createTime":"2024-01-01 00:00:00","updateTime":10}"#;
    assert_eq!(shown(store, DataTable::Stock, "a").await, merged);
    assert_eq!(shown(store, DataTable::Financial, "a").await, "null");
    let replace = DataSave { mode: SaveMode::Replace, ..save("a", &[(1, "[3]")], 11) };
    store.data_save(replace).await.unwrap();
    let fixture = fixture.reopen().await;
    let replaced =
        r#"{"id":"a","data":{"1":[3]},"createTime":"2024-01-01 00:00:00","updateTime":11}"#;
    assert_eq!(shown(&fixture.store, DataTable::Stock, "a").await, replaced);
    let gone = fixture.store.data_delete(DataTable::Stock, "a").await.unwrap();
    assert_eq!((gone.revision, gone.value), (4, true));
    assert!(!fixture.store.data_delete(DataTable::Stock, "a").await.unwrap().value);
    assert_eq!(shown(&fixture.store, DataTable::Stock, "a").await, "null");
    // What was deleted has no create time to keep.
    fixture.store.data_save(save("a", &[(1, "[]")], 0)).await.unwrap();
    let again = r#"{"id":"a","data":{"1":[]},"createTime":"1970-01-01 00:00:00","updateTime":0}"#;
    assert_eq!(shown(&fixture.store, DataTable::Stock, "a").await, again);
}

#[tokio::test]
async fn a_search_is_ordered_cut_to_the_range_and_counted_before_paging() {
    let fixture = Fixture::new().await;
    for id in ["c", "a", "b", "d"] {
        let points = [(10, "[1]"), (20, "[2]"), (30, "[3]")];
        fixture.store.data_save(save(id, &points[usize::from(id == "d")..], 1)).await.unwrap();
    }
    let find = async |ids: &[&str], start, end, limit, offset| {
        let ids = ids.iter().map(ToString::to_string).collect();
        let search = DataSearch { table: DataTable::Stock, ids, start, end, limit, offset };
        let page = fixture.store.data_search(search).await.unwrap();
        let row = |row: &crate::store::DataInfo| {
            format!("{}{:?}", row.id, row.data.keys().collect::<Vec<_>>())
        };
        (page.rows.iter().map(row).collect::<Vec<_>>().join(" "), page.count)
    };
    assert_eq!(find(&["b", "a", "x", "a"], 10, 20, 10, 0).await, ("a[10, 20] b[10, 20]".into(), 2));
    assert_eq!(find(&[], 0, 15, 2, 1).await, ("b[10] c[10]".into(), 3));
    assert_eq!(find(&[], 20, 20, 1, 3).await, ("d[20]".into(), 4));
    assert_eq!(find(&[], 20, 20, 1, 9).await, (String::new(), 4));
    assert_eq!(find(&["a"], 20, 10, 1, 0).await, (String::new(), 0));
}
