//! Numbers at the ends of their ranges, wherever a request may have one: each is answered, or
//! refused, and nothing panics.

use http::Method;
use http_body_util::Full;
use kamaitachi_node::replication::{Decoder, Message};
use serde_json::{Value, json};

use crate::support::{
    Answer, INGEST, PERIOD, Running, SELECT_PERIOD, SELECT_SNAPSHOT, SNAPSHOT, row, year_2020,
};

const NUMBERS: [i64; 6] = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];

async fn year() -> Running {
    let node =
        Running::with(|config| config.limits.revision_wait = std::time::Duration::ZERO).await;
    node.client.ingest(&year_2020()).await;
    node
}

/// That it was answered or refused for what it says, and the node goes on.
#[track_caller]
fn judged(answer: &Answer, what: &str) {
    let status = answer.status.as_u16();
    assert!(matches!(status, 200 | 400 | 404), "{what}: {status} {:?}", answer.body);
}

#[tokio::test]
async fn a_follower_from_beyond_all_revisions_is_told_to_copy() {
    let master = year().await;
    let mark = master.node.app().core().unwrap().store.mark();
    // The highest that a key of the log can hold is 2⁴⁷ - 1.
    for revision in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 48, (1 << 47) - 1] {
        for lineage in ["x", &mark.lineage] {
            for nonce in [0, i64::MIN, i64::MAX, mark.nonce] {
                let path = format!(
                    "/internal/replication/v1/changes?lineage={lineage}&revision={revision}&nonce={nonce}"
                );
                let answer = master.client.get(&path).await;
                assert_eq!(answer.status, 200, "{path}");
                let mut decoder = Decoder::default();
                decoder.push(&answer.body);
                let told = decoder.message().unwrap();
                assert!(matches!(told, Some(Message::CopyNeeded(_))), "{path}: {told:?}");
            }
        }
    }
    for wrong in ["revision=18446744073709551616&nonce=0", "revision=0&nonce=9223372036854775808"] {
        let path = format!("/internal/replication/v1/changes?lineage=x&{wrong}");
        master.client.get(&path).await.refused(400, &["whole number"]);
    }
}

#[tokio::test]
async fn headers_take_any_number() {
    let node = year().await;
    let body = json!({"subjects": "33:000001"}).to_string();
    let numbers = ["18446744073709551615", "18446744073709551616", "9223372036854775808", "-1"];
    for name in ["x-kamaitachi-min-revision", "x-kamaitachi-prefer-revision", "x-kamaitachi-part"] {
        for number in numbers {
            let request = node.client.request(Method::POST, SNAPSHOT).header(name, number);
            let answer = node.client.send(request.body(Full::from(body.clone())).unwrap()).await;
            let status = answer.status.as_u16();
            let behind = status == 503 && answer.header("retry-after").is_some();
            assert!(behind || matches!(status, 200 | 400), "{name} {number}: {:?}", answer.body);
        }
    }
}

#[tokio::test]
async fn times_and_pages_take_any_number() {
    let node = year().await;
    let selection = json!({"id": "concept", "topic": "stock_a_listing_pool"});
    let ids = "operating_income,net_profit";
    for (n, one) in NUMBERS.into_iter().enumerate() {
        for other in NUMBERS {
            // Whether it is cached already or not.
            let subject = ["33:000001", "33:000002", "17:600606"][n % 3];
            let ask: [(&str, Value); 5] = [
                (SNAPSHOT, json!({"subjects": subject, "timestamp": one, "offset": other})),
                (PERIOD, json!({"subjects": subject, "from": one, "to": other, "ids": ids})),
                (
                    SELECT_SNAPSHOT,
                    json!({"selection": selection, "ids": ids, "timestamp": one, "limit": other}),
                ),
                (
                    SELECT_PERIOD,
                    json!({"selection": selection, "ids": ids, "from": one, "to": other, "offset": other}),
                ),
                (
                    "/data/v1/search",
                    json!({"tableId": 1, "startTime": one, "endTime": other, "offset": other, "limit": one}),
                ),
            ];
            for (path, body) in ask {
                judged(&node.client.post(path, &body).await, &format!("{path} {body}"));
            }
        }
        let line = row("33:000001", one, json!({"operating_income": 1})).to_string();
        judged(&node.client.post_text(INGEST, "application/x-ndjson", line).await, "ingest");
        let save = json!({"id": "a", "data": {(one.to_string()): [1]}});
        judged(&node.client.post("/data/v1/save?id=1", &save).await, "save");
    }
    let saved = node.client.get("/data/v1/get/a?tableId=1").await.managed();
    assert_eq!(saved["data"].as_object().unwrap().len(), NUMBERS.len());
}
