//! Bulk writes and the registry of indicators.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::Method;
use http_body_util::Full;
use kamaitachi_node::config::Role;
use serde_json::{Value, json};

use crate::support::{
    Client, INDICATORS, INGEST, PERIOD, Q1, Q2, Running, SNAPSHOT, STATS, row, year_2020,
};

const NDJSON: &str = "application/x-ndjson";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

async fn packed(client: &Client, body: Vec<u8>) -> crate::support::Answer {
    let request = client
        .request(Method::POST, INGEST)
        .header("content-type", NDJSON)
        .header("content-encoding", "gzip");
    client.send(request.body(Full::new(Bytes::from(body))).unwrap()).await
}

async fn rows_of(client: &Client, subject: &str) -> Value {
    let body = json!({"subjects": subject, "from": 0, "to": 4_000_000_000_u64});
    client.post(PERIOD, &body).await.data()
}

#[tokio::test]
async fn csv_and_ndjson_say_the_same() {
    let node = Running::master().await;
    let csv = "subject,report_date,name,operating_income,parent_holder_net_profit\n\
               33:000001,1585612800,\"Ping, An\",1.5,\n";
    let answer = node.client.post_text(INGEST, "text/csv; charset=utf-8", csv).await;
    let data = answer.data();
    assert_eq!(data["rows"], json!(1));
    assert_eq!(data["revision"].to_string(), answer.header("x-kamaitachi-revision").unwrap());
    let line = json!({"subject": "33:000002", "report_date": Q1, "name": "Ping, An",
                      "data": {"operating_income": 1.5, "parent_holder_net_profit": null}});
    node.client.post_text(INGEST, NDJSON, line.to_string()).await.data();
    let (one, two) =
        (rows_of(&node.client, "33:000001").await, rows_of(&node.client, "33:000002").await);
    let two = two.to_string().replace("33:000002", "33:000001");
    assert_eq!(one.to_string(), two);
    assert_eq!(one[0]["subject"]["name"], "Ping, An");
}

#[tokio::test]
async fn one_bad_line_is_named_and_nothing_of_the_request_is_kept() {
    let node = Running::master().await;
    let good = row("33:000001", Q1, json!({"operating_income": 1}));
    for (bad, words) in [
        ("not json", &["line 2"][..]),
        (r#"{"report_date":1}"#, &["line 2", "subject"]),
        (r#"{"subject":"33:1","report_date":"x","data":{}}"#, &["line 2", "report_date"]),
        (
            r#"{"subject":"33:1","report_date":1,"data":{"operating_income":"x"}}"#,
            &["line 2", "operating_income"],
        ),
        (r#"{"subject":"33:1","report_date":1,"data":{"operating_income":NaN}}"#, &["line 2"]),
        (r#"{"subject":"33:1","report_date":1,"data":{"operating_income":1e999}}"#, &["line 2"]),
        (r#"{"subject":"33:1","report_date":1,"data":{"ebitda":1}}"#, &["line 2", "ebitda"]),
    ] {
        let body = format!("{good}\n{bad}\n{good}\n");
        node.client.post_text(INGEST, NDJSON, body).await.refused(400, words);
    }
    let csv = "subject,report_date,operating_income\n33:1,1,1\n33:2,1,NaN\n";
    node.client.post_text(INGEST, "text/csv", csv).await.refused(400, &["line 3"]);
    assert_eq!(node.client.get(STATS).await.data()["total_records"], json!(0));
}

#[tokio::test]
async fn of_bad_lines_the_first_is_named_whatever_is_wrong_with_it() {
    let node = Running::master().await;
    let good = row("33:000001", Q1, json!({"operating_income": 1}));
    let bogus = row("33:000001", Q1, json!({"bogus": 1}));
    let invalid = row("33:000001", Q1, json!({"1st": 1}));
    let malformed = r#"{"subject":"33:000001","report_date":"x"}"#;
    let create = format!("{INGEST}?create_indicators=true");
    for (path, lines, words) in [
        (INGEST, format!("{good}\n{bogus}\n{good}\n{malformed}\n"), &["line 2", "\"bogus\""][..]),
        (INGEST, format!("{good}\n{malformed}\n{good}\n{bogus}\n"), &["line 2", "report_date"]),
        (&create, format!("{good}\n{bogus}\n{good}\n{malformed}\n"), &["line 4", "report_date"]),
        (&create, format!("{good}\n{invalid}\n{good}\n{malformed}\n"), &["line 2", "\"1st\""]),
    ] {
        node.client.post_text(path, NDJSON, lines).await.refused(400, words);
    }
    let csv = "subject,report_date,bogus\n33:1,x,1\n";
    node.client.post_text(INGEST, "text/csv", csv).await.refused(400, &["line 1", "\"bogus\""]);
    let csv = "subject,report_date,operating_income\n33:1,x,1\n";
    node.client.post_text(INGEST, "text/csv", csv).await.refused(400, &["line 2", "report_date"]);
    let names = node.client.get(INDICATORS).await.data()["indicators"].to_string();
    assert!(!names.contains("bogus"), "{names}");
}

#[tokio::test]
async fn a_row_that_comes_again_keeps_what_it_does_not_say() {
    let node = Running::master().await;
    let mut first =
        row("33:000001", Q1, json!({"operating_income": 1, "parent_holder_net_profit": 2}));
    first["name"] = json!("first");
    first["declare_date"] = json!("2020-04-30");
    node.client.ingest(&[first]).await;
    node.client.ingest(&[row("33:000001", Q1, json!({"operating_income": 5}))]).await;
    let rows = rows_of(&node.client, "33:000001").await;
    assert_eq!(rows[0]["subject"]["name"], "first");
    assert_eq!(
        rows[0]["data"],
        json!([{"end_date": "2020-03-31", "period": "596001", "declare_date": "2020-04-30",
                "year": "2020", "combine": "33:000001:2020_596001",
                "operating_income": 5.0, "parent_holder_net_profit": 2.0}])
    );
    assert_eq!(node.client.get(STATS).await.data()["total_records"], json!(1));
}

#[tokio::test]
async fn indicators_are_registered_before_they_are_used() {
    let node = Running::master().await;
    let line = row("33:000001", Q2, json!({"ebitda": 7.5})).to_string();
    node.client.post_text(INGEST, NDJSON, line.clone()).await.refused(400, &["ebitda"]);
    let ask = json!({"subjects": "33:000001", "ids": "ebitda"});
    node.client.post(SNAPSHOT, &ask).await.refused(400, &["`ids`", "ebitda"]);
    let answer =
        node.client.post(INDICATORS, &json!({"indicators": "ebitda, operating_income"})).await;
    let data = answer.data();
    assert_eq!(data["added"], json!(["ebitda"]));
    assert!(data["indicators"].as_array().unwrap().contains(&json!("ebitda")));
    assert_eq!(data["revision"].to_string(), answer.header("x-kamaitachi-revision").unwrap());
    let listed = node.client.get(INDICATORS).await.data();
    assert_eq!(listed["indicators"], data["indicators"]);
    node.client.post_text(INGEST, NDJSON, line).await.data();
    assert_eq!(node.client.post(SNAPSHOT, &ask).await.data()[0]["data"], json!({"ebitda": 7.5}));
    let twice = json!({"indicators": "new_a,new_b,new_a"});
    let data = node.client.post(INDICATORS, &twice).await.data();
    assert_eq!(data["added"], json!(["new_a", "new_b"]));
    for bad in ["", "x; DROP TABLE finance_data", "subject", "1st", "a\"b"] {
        let body = json!({"indicators": [bad]});
        node.client.post(INDICATORS, &body).await.refused(400, &["indicator"]);
    }
    let create = format!("{INGEST}?create_indicators=perhaps");
    node.client
        .post_text(&create, NDJSON, "")
        .await
        .refused(400, &["`create_indicators`", "perhaps"]);
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_bounds() {
    let node = Running::with(|config| config.limits.ingest_body = 1 << 20).await;
    let line = row("33:000001", Q1, json!({"operating_income": 1})).to_string();
    assert_eq!(packed(&node.client, gzip(line.as_bytes())).await.data()["rows"], json!(1));
    let bomb = gzip(&vec![b'\n'; 2 << 20]);
    packed(&node.client, bomb).await.refused(413, &["1048576 bytes"]);
    packed(&node.client, gzip(line.as_bytes())[..30].to_vec()).await.refused(400, &["gzip"]);
    packed(&node.client, line.into_bytes()).await.refused(400, &["gzip"]);
    let plain = vec![b'\n'; (1 << 20) + 1];
    node.client.post_text(INGEST, NDJSON, plain).await.refused(413, &["1048576 bytes"]);
    let request = node.client.request(Method::POST, INGEST).header("content-encoding", "br");
    node.client
        .send(request.body(Full::default()).unwrap())
        .await
        .refused(415, &["\"br\"", "gzip"]);
    node.client.post_text(INGEST, "text/html", "").await.refused(415, &["text/html", "text/csv"]);
}

#[tokio::test]
async fn a_slave_names_the_master_to_whoever_wants_to_write() {
    // With data of its own it serves, whether its master can be reached or not.
    let former = Running::master().await;
    former.client.ingest(&year_2020()).await;
    let master = Some("10.1.2.3:8080".to_owned());
    let dir = former.stop().await;
    let node = Running::within(dir, |config| config.server.role = Role::Slave { master }).await;
    let told = &["slave", "10.1.2.3:8080"];
    node.client.post_text(INGEST, NDJSON, "{}").await.refused(421, told);
    node.client.post(INDICATORS, &json!({"indicators": "x"})).await.refused(421, told);
    node.client.post("/data/v1/save?id=1", &json!({})).await.refused_managed(421, told);
    node.client.delete("/data/v1/delete/x?tableId=1").await.refused_managed(421, told);
    assert_eq!(node.client.get(STATS).await.data()["mode"], "slave");
    node.client.get(INDICATORS).await.data();
}
