//! Readers that say how new their answer has to be.

use http::Method;
use http_body_util::Full;
use serde_json::json;

use crate::support::{
    Answer, INDICATORS, PERIOD, Running, SELECT_PERIOD, SELECT_SNAPSHOT, SNAPSHOT, STATS, row,
    year_2020,
};

const HEADER: &str = "x-kamaitachi-min-revision";

/// Every read of the API, with a body that is good.
fn reads() -> [(Method, &'static str, String); 7] {
    let selection = json!({"id": "concept", "topic": "stock_a_listing_pool"});
    let ids = "operating_income";
    [
        (Method::POST, SNAPSHOT, json!({"subjects": "33:000001"}).to_string()),
        (Method::POST, PERIOD, json!({"subjects": "33:000001", "from": 0, "to": 1}).to_string()),
        (Method::POST, SELECT_SNAPSHOT, json!({"selection": selection, "ids": ids}).to_string()),
        (
            Method::POST,
            SELECT_PERIOD,
            json!({"selection": selection, "ids": ids, "from": 0, "to": 1}).to_string(),
        ),
        (Method::GET, INDICATORS, String::new()),
        (Method::GET, "/data/v1/get/000001?tableId=1", String::new()),
        (Method::POST, "/data/v1/search", json!({"tableId": 1}).to_string()),
    ]
}

async fn ask(node: &Running, (method, path, body): &(Method, &str, String), least: &str) -> Answer {
    let request = node.client.request(method.clone(), path).header(HEADER, least);
    node.client.send(request.body(Full::from(body.clone())).unwrap()).await
}

async fn filled() -> Running {
    let node =
        Running::with(|config| config.limits.revision_wait = std::time::Duration::ZERO).await;
    node.client.ingest(&year_2020()).await;
    let save = json!({"id": "000001", "data": {"1": [1]}});
    node.client.post("/data/v1/save?id=1", &save).await.managed();
    node
}

#[tokio::test]
async fn every_read_answers_where_the_node_is_as_new_as_asked() {
    let node = filled().await;
    for read in &reads() {
        for least in ["0", "1", " 2"] {
            let answer = ask(&node, read, least).await;
            assert_eq!(answer.status, 200, "{read:?}: {:?}", answer.body);
            assert_eq!(answer.header("x-kamaitachi-revision"), Some("2"), "{read:?}");
        }
    }
}

#[tokio::test]
async fn every_read_is_refused_where_the_node_stays_behind() {
    let node = filled().await;
    for read in &reads() {
        let answer = ask(&node, read, "5").await;
        let words = ["revision 2", "not yet at 5"];
        match read.1.starts_with("/data/v1") {
            true => answer.refused_managed(503, &words),
            false => answer.refused(503, &words),
        }
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("x-kamaitachi-behind"), Some("3"));
        assert_eq!(answer.header("x-kamaitachi-revision"), Some("2"));
    }
    // Nobody reads data there.
    let stats = (Method::GET, STATS, String::new());
    assert_eq!(ask(&node, &stats, "5").await.status, 200);
}

#[tokio::test]
async fn what_is_no_revision_is_refused_by_name() {
    let node = filled().await;
    for least in ["x", "-1", "1.0", "", "18446744073709551616"] {
        let answer = ask(&node, &reads()[0], least).await;
        answer.refused(400, &["X-Kamaitachi-Min-Revision", least]);
    }
    let (method, path, body) = &reads()[0];
    let twice = node.client.request(method.clone(), path).header(HEADER, "1").header(HEADER, "2");
    let answer = node.client.send(twice.body(Full::from(body.clone())).unwrap()).await;
    answer.refused(400, &["X-Kamaitachi-Min-Revision"]);
}

#[tokio::test]
async fn a_reader_waits_for_the_write_it_asks_for() {
    let node = Running::with(|config| {
        config.limits.revision_wait = std::time::Duration::from_secs(20);
    })
    .await;
    node.client.ingest(&[row("33:000001", 5, json!({"operating_income": 1}))]).await;
    let read = &reads()[0];
    let newer = [row("33:000001", 5, json!({"operating_income": 2}))];
    let (answer, _) = tokio::join!(ask(&node, read, "2"), node.client.ingest(&newer));
    assert_eq!(answer.data()[0]["data"]["operating_income"], json!(2.0));
}
