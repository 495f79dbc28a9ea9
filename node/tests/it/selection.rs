//! Selections over the tags of a store.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Q1, Q2, Q3, Q4, Running, SELECT_PERIOD, SELECT_SNAPSHOT, year_2020};

/// The year 2020 with tags, as another program would have written them.
async fn tagged() -> Running {
    let running = Running::master().await;
    running.client.ingest(&year_2020()).await;
    let db = running.db();
    let dir = running.stop().await;
    let connection = Connection::open(db).unwrap();
    for (subject, id, keyword) in [
        ("33:000001", "concept", "Green Bank"),
        ("33:000001", "concept", "bank of cities"),
        ("33:000002", "concept", "Steel"),
        ("17:600606", "concept", "Bank"),
        ("33:000002", "region", "Bank street"),
    ] {
        connection
            .execute("INSERT INTO subject_tags VALUES (?1, ?2, ?3)", (subject, id, keyword))
            .unwrap();
    }
    drop(connection);
    Running::within(dir, |_| {}).await
}

fn subjects(data: &Value) -> Vec<&str> {
    let list = data.as_array().unwrap();
    list.iter().map(|item| item["subject"]["subject"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_selection_takes_the_members_of_a_topic_by_their_tags() {
    let node = tagged().await;
    let ask = async |selection: Value| {
        let body = json!({"selection": selection, "ids": "operating_income", "field": "subject", "order": 1});
        node.client.post(SELECT_SNAPSHOT, &body).await.data()
    };
    let pool = "stock_a_listing_pool";
    let concept = |keyword: &str| json!({"id": "concept", "topic": pool, "keyword": keyword});
    assert_eq!(subjects(&ask(concept("BANK")).await), ["33:000001"]);
    assert_eq!(subjects(&ask(concept("")).await), ["33:000001", "33:000002"]);
    assert_eq!(
        subjects(&ask(json!({"id": "region", "topic": pool, "keyword": "bank"})).await),
        ["33:000002"]
    );
    assert_eq!(
        subjects(&ask(json!({"id": "concept", "topic": "other_pool"})).await),
        ["17:600606"]
    );
    assert!(subjects(&ask(concept("b%nk")).await).is_empty(), "a keyword is no pattern");
    assert!(subjects(&ask(concept("' OR 1=1 --")).await).is_empty());
    let mut restricted = concept("");
    restricted["subject"] = json!("33:000002, 17:600606");
    assert_eq!(subjects(&ask(restricted).await), ["33:000002"]);
}

#[tokio::test]
async fn a_period_of_a_selection_is_sorted_and_paged_date_by_date() {
    let node = tagged().await;
    let mut body = json!({"selection": {"id": "concept", "topic": "stock_a_listing_pool"},
        "ids": ["net_profit", "operating_income"], "from": Q1, "to": Q2, "field": "operating_income", "order": "desc"});
    let data = node.client.post(SELECT_PERIOD, &body).await.data();
    let dates: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
    assert_eq!(dates.len(), 2, "{data}");
    assert_eq!(subjects(&data["2020-06-30"]), ["33:000002", "33:000001"]);
    assert_eq!(
        data["2020-03-31"][1],
        json!({
            "subject": {"subject": "33:000001", "name": "33:000001", "status": "213001", "listing_date": "", "category": "stock"},
            "data": {"end_date": "2020-03-31", "period": "596001", "declare_date": null, "year": "2020",
                     "combine": "33:000001:2020_596001", "net_profit": null, "operating_income": 100.5},
        })
    );
    body["limit"] = json!(1);
    body["offset"] = json!(1);
    body["from"] = json!(Q3);
    body["to"] = json!(Q4);
    let data = node.client.post(SELECT_PERIOD, &body).await.data();
    assert_eq!(subjects(&data["2020-09-30"]), ["33:000001"]);
    assert_eq!(subjects(&data["2020-12-31"]), ["33:000001"]);
    body["order"] = json!(1);
    body["field"] = json!("net_profit");
    let data = node.client.post(SELECT_PERIOD, &body).await.data();
    assert_eq!(subjects(&data["2020-12-31"]), ["33:000001"], "no value comes last");
}

#[tokio::test]
async fn what_a_selection_needs_is_asked_for_by_name() {
    let node = Running::master().await;
    let full = json!({"selection": {"id": "concept", "topic": "p"}, "ids": "operating_income", "from": 1, "to": 2});
    node.client.post(SELECT_SNAPSHOT, &full).await.data();
    assert_eq!(node.client.post(SELECT_PERIOD, &full).await.data(), json!({}));
    for (path, missing) in [
        ("/selection", "`selection`"),
        ("/ids", "`ids`"),
        ("/selection/id", "`selection.id`"),
        ("/selection/topic", "`selection.topic`"),
    ] {
        let mut body = full.clone();
        *body.pointer_mut(path).unwrap() = Value::Null;
        node.client.post(SELECT_SNAPSHOT, &body).await.refused(400, &[missing, "required"]);
        node.client.post(SELECT_PERIOD, &body).await.refused(400, &[missing, "required"]);
    }
    let mut backwards = full.clone();
    backwards["from"] = json!(3);
    node.client
        .post(SELECT_PERIOD, &backwards)
        .await
        .refused(400, &["`from`", "got 3", "which is 2"]);
}
