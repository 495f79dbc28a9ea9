//! Data management: save, get, search, delete.

use serde_json::{Value, json};

use crate::support::{Running, row};

const SEARCH: &str = "/data/v1/search";

#[tokio::test]
async fn a_saved_record_comes_back_as_it_was_written() {
    let node = Running::master().await;
    let body = json!({"id": "000001", "data": {"1672502400": [100.5, 200.3, 300.1], "1672588800": [1, "x", null]},
                      "createTime": "2024-01-01 00:00:00", "updateTime": 5});
    let saved = node.client.post("/data/v1/save?id=1", &body).await;
    assert_eq!(saved.managed(), json!(true));
    assert!(saved.header("x-kamaitachi-revision").unwrap().parse::<u64>().unwrap() > 0);
    let got = node.client.get("/data/v1/get/000001?tableId=1").await;
    let info = got.managed();
    assert_eq!(info["id"], "000001");
    assert_eq!(info["data"], body["data"]);
    assert_eq!(info["createTime"], "2024-01-01 00:00:00");
    assert!(info["updateTime"].as_i64().unwrap() > 1_700_000_000, "set by the node: {info}");
    assert_eq!(info.as_object().unwrap().len(), 4);
    node.client
        .get("/data/v1/get/000001?tableId=2")
        .await
        .refused_managed(404, &["000001", "financial_data"]);
}

#[tokio::test]
async fn saves_merge_unless_told_to_replace_and_keep_their_first_create_time() {
    let node = Running::master().await;
    let save = async |query: &str, data: Value, created: &str| {
        let body = json!({"id": "a/b c", "data": data, "createTime": created});
        node.client.post(&format!("/data/v1/save?id=2{query}"), &body).await.managed();
    };
    let get = async || node.client.get("/data/v1/get/a%2Fb%20c/?tableId=2").await.managed();
    save("", json!({"1": [1], "2": [2]}), "2001-01-01 01:01:01").await;
    save("", json!({"2": [22], "3": [3]}), "2002-02-02 02:02:02").await;
    let info = get().await;
    assert_eq!(info["data"], json!({"1": [1], "2": [22], "3": [3]}));
    assert_eq!(info["createTime"], "2001-01-01 01:01:01");
    save("&mode=replace", json!({"9": []}), "2003-03-03 03:03:03").await;
    let info = get().await;
    assert_eq!(info["data"], json!({"9": []}));
    assert_eq!(info["createTime"], "2001-01-01 01:01:01");
}

#[tokio::test]
async fn deleting_is_done_when_it_is_not_there() {
    let node = Running::master().await;
    let body = json!({"id": "x", "data": {"1": [1]}});
    node.client.post("/data/v1/save?id=3", &body).await.managed();
    let get = async || node.client.get("/data/v1/get/x?tableId=3").await;
    get().await.managed();
    for _ in 0..2 {
        let gone = node.client.delete("/data/v1/delete/x?tableId=3").await;
        assert_eq!(gone.managed(), json!(true));
        get().await.refused_managed(404, &["\"x\""]);
    }
}

#[tokio::test]
async fn searches_are_ordered_cut_to_the_range_and_counted_before_paging() {
    let node = Running::master().await;
    for id in ["b", "a", "d", "c"] {
        let body = json!({"id": id, "data": {"10": [1], "20": [2], "30": [3]}});
        node.client.post("/data/v1/save?id=1", &body).await.managed();
    }
    let body = json!({"tableId": 1, "subjectIds": ["d", "a", "b", "nope", "a"], "startTime": 20,
                      "endTime": 30, "limit": 2, "offset": 1});
    let found = node.client.post(SEARCH, &body).await.managed();
    assert_eq!(found["count"], json!(3));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["b", "d"]);
    assert_eq!(rows[0]["data"], json!({"20": [2], "30": [3]}));
    let all = node.client.post(SEARCH, &json!({"tableId": 1})).await.managed();
    assert_eq!((all["count"].clone(), all["rows"].as_array().unwrap().len()), (json!(4), 4));
    let empty = node.client.post(SEARCH, &json!({"tableId": 2})).await.managed();
    assert_eq!(empty, json!({"rows": [], "count": 0}));
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_in_the_envelope_of_data_management() {
    let node = Running::master().await;
    let good = json!({"id": "x", "data": {"1": [1]}});
    node.client.post("/data/v1/save", &good).await.refused_managed(400, &["`id`", "required"]);
    node.client
        .post("/data/v1/save?id=4", &good)
        .await
        .refused_managed(400, &["unknown table", "\"4\""]);
    for (body, word) in [
        (json!({"id": "", "data": {"1": [1]}}), "`id`"),
        (json!({"id": "x", "data": {}}), "`data`"),
        (json!({"id": "x", "data": {"1.5": [1]}}), "\"1.5\""),
        (json!({"id": "x", "data": {"abc": [1]}}), "\"abc\""),
    ] {
        node.client.post("/data/v1/save?id=1", &body).await.refused_managed(400, &[word]);
    }
    node.client.get("/data/v1/get/x").await.refused_managed(400, &["`tableId`", "required"]);
    node.client.get("/data/v1/get/%ff?tableId=1").await.refused_managed(400, &["percent-encoded"]);
    node.client.delete("/data/v1/delete/x?tableId=9").await.refused_managed(400, &["\"9\""]);
    node.client
        .post(SEARCH, &json!({"tableId": 0}))
        .await
        .refused_managed(400, &["`tableId`", "got 0"]);
    node.client.get("/data/v1/nothing").await.refused_managed(404, &[]);
    node.client.get("/data/v1/save?id=1").await.refused_managed(405, &["POST"]);
}

#[tokio::test]
async fn every_write_takes_the_next_revision() {
    let node = Running::master().await;
    let revision = |answer: &crate::support::Answer| -> u64 {
        answer.header("x-kamaitachi-revision").unwrap().parse().unwrap()
    };
    let body = json!({"id": "x", "data": {"1": [1]}});
    let first = revision(&node.client.post("/data/v1/save?id=1", &body).await);
    let rows = node.client.ingest(&[row("33:1", 5, json!({"operating_income": 1}))]).await;
    let second = rows["revision"].as_u64().unwrap();
    let third = revision(&node.client.delete("/data/v1/delete/x?tableId=1").await);
    assert!(first < second && second < third, "{first} {second} {third}");
}
