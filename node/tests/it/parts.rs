//! Answers to parts of larger questions.

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{
    Answer, PERIOD, Q1, Q2, Q4, Running, SELECT_PERIOD, SNAPSHOT, row, year_2020,
};

async fn ask(node: &Running, path: &str, subjects: &str, body: &Value) -> Answer {
    let request = node.client.request(Method::POST, path).header("x-kamaitachi-part", subjects);
    node.client.send(request.body(Full::from(body.to_string())).unwrap()).await
}

async fn part(node: &Running, path: &str, body: &Value) -> (Value, Value) {
    let mut all = ask(node, path, "3", body).await.json();
    let whole = node.client.post(path, body).await.json();
    assert_eq!(whole.as_object().unwrap().len(), 3, "asked as a whole it tells nothing of parts");
    (all["data"].take(), all["part"].take())
}

fn subjects(rows: &Value) -> Vec<&str> {
    let list = rows.as_array().unwrap();
    list.iter().map(|item| item["subject"]["subject"].as_str().unwrap()).collect()
}

async fn year() -> Running {
    let node = Running::master().await;
    node.client.ingest(&year_2020()).await;
    node
}

#[tokio::test]
async fn a_snapshot_starts_at_the_first_row_and_says_what_rows_are_sorted_by() {
    let node = year().await;
    let mut body = json!({"subjects": ["33:000001", "17:600606", "33:000002"], "ids": "net_profit",
        "field": "parent_holder_net_profit", "order": "ASC", "offset": 1, "limit": 1});
    let (data, about) = part(&node, SNAPSHOT, &body).await;
    assert_eq!(subjects(&data), ["33:000001", "17:600606"]);
    assert_eq!(data[0]["data"], json!({}), "what it is sorted by is not answered");
    let subjects = ["33:000001", "17:600606"];
    assert_eq!(
        about,
        json!({"order": 1, "offset": 1, "limit": 1, "subjects": subjects, "values": [13.0, null]})
    );
    for (field, values) in [
        ("report_date", json!([Q4, Q4])),
        ("end_date", json!(["2020-12-31", "2020-12-31"])),
        ("year", json!(["2020", "2020"])),
        ("subject", Value::Null),
    ] {
        body["field"] = json!(field);
        body["order"] = Value::Null;
        let (_, about) = part(&node, SNAPSHOT, &body).await;
        assert_eq!((&about["values"], &about["order"]), (&values, &json!(-1)), "{field}");
    }
}

#[tokio::test]
async fn periods_count_their_rows_and_name_their_subjects() {
    let node = year().await;
    let body = json!({"subjects": "33:000002,x,17:600606", "from": Q1, "to": Q2});
    let (data, about) = part(&node, PERIOD, &body).await;
    assert_eq!(subjects(&data), ["33:000002", "17:600606"]);
    let named = ["33:000002", "17:600606"];
    assert_eq!(about, json!({"rows": 3, "max_rows": 2_000_000, "subjects": named}));

    let body = json!({"selection": {"id": "concept", "topic": "none"}, "ids": "net_profit", "from": Q1, "to": Q2});
    let (data, about) = part(&node, SELECT_PERIOD, &body).await;
    assert_eq!(data, json!({}));
    assert_eq!(
        about,
        json!({"order": -1, "offset": 0, "limit": 10, "rows": 0, "max_rows": 2_000_000,
            "subjects": [], "values": []})
    );
}

#[tokio::test]
async fn a_search_starts_at_the_first_record() {
    let node = Running::master().await;
    for id in ["a", "b", "c"] {
        let record = json!({"id": id, "data": {"5": [1]}});
        node.client.post("/data/v1/save?id=1", &record).await.managed();
    }
    let body = json!({"tableId": 1, "offset": 1, "limit": 1});
    let mut all = ask(&node, "/data/v1/search/", "3", &body).await.json();
    assert_eq!(all["part"].take(), json!({"offset": 1, "limit": 1, "subjects": ["a", "b"]}));
    assert_eq!((&all["data"]["count"], &all["data"]["rows"][1]["id"]), (&json!(3), &json!("b")));
}

#[tokio::test]
async fn the_rules_are_about_the_whole() {
    let node = Running::with(|config| config.rules.max_subjects = 4).await;
    node.client.ingest(&[row("33:000001", 5, json!({"operating_income": 1}))]).await;
    let body = json!({"subjects": "33:000001", "ids": "operating_income"});
    assert_eq!(ask(&node, SNAPSHOT, "4", &body).await.status, 200);
    for wrong in ["5", "many", ""] {
        ask(&node, SNAPSHOT, wrong, &body).await.refused(400, &["x-kamaitachi-part", "at most 4"]);
    }
}
