//! What a slave sees of what is written at its master.

use serde_json::json;

use super::{
    addr, directory, end_equal, has_started_from_copies, in_step, record, replication, slave,
    store, until,
};
use crate::support::{INGEST, PERIOD, Q1, Q2, Running, SNAPSHOT, STATS, row, year_2020};

#[tokio::test]
async fn a_reader_at_a_slave_sees_what_it_wrote_at_the_master() {
    let master = Running::master().await;
    let slave = slave(&addr(&master).await, directory()).await;
    for n in 0..50 {
        let line = row("33:000001", Q1, json!({"operating_income": n, "net_profit": null}));
        let path = format!("{INGEST}?create_indicators=true");
        let written =
            master.client.post_text(&path, "application/x-ndjson", line.to_string()).await;
        let revision = written.header("x-kamaitachi-revision").unwrap().to_owned();
        // The slave has the row in its cache from the last turn.
        let ask = json!({"subjects": "33:000001", "ids": "operating_income"});
        let request = slave.client.request(http::Method::POST, SNAPSHOT);
        let request = request.header("x-kamaitachi-min-revision", &revision);
        let answer = slave.client.send(request.body(ask.to_string().into()).unwrap()).await;
        assert_eq!(answer.data()[0]["data"]["operating_income"], json!(f64::from(n)));
        assert!(answer.header("x-kamaitachi-revision").unwrap() >= &*revision);
    }
    end_equal(master, slave).await;
}

#[tokio::test]
async fn what_statistics_tell_of_replication_is_in_the_document() {
    let master = Running::master().await;
    let slave = slave(&addr(&master).await, directory()).await;
    until("the slave follows", async || {
        replication(&master.client).await["followers"][0]["state"] == "following"
    })
    .await;
    let document = master.client.get("/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    let keys = |value: &serde_json::Value| {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    for (node, schema) in [(&master, "ReplicationOfMaster"), (&slave, "ReplicationOfSlave")] {
        let stats = node.client.get(STATS).await.data();
        let undocumented: Vec<_> = keys(&stats)
            .into_iter()
            .filter(|key| schemas["Stats"]["properties"][key].is_null())
            .collect();
        assert!(undocumented.is_empty(), "{undocumented:?}");
        assert_eq!(keys(&stats["replication"]), keys(&schemas[schema]["properties"]));
    }
    let follower = &replication(&master.client).await["followers"][0];
    let items = &schemas["ReplicationOfMaster"]["properties"]["followers"]["items"];
    assert_eq!(keys(follower), keys(&items["properties"]));
    end_equal(master, slave).await;
}

#[tokio::test]
async fn all_that_can_be_written_arrives() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let slave = slave(&addr(&master).await, directory()).await;
    master.client.ingest(&[row("33:000009", Q2, json!({"brand_new": 5.5}))]).await;
    let tag = |n: u8| kamaitachi_node::store::Tag {
        subject: format!("33:00000{n}"),
        id: "concept".into(),
        keyword: "AI".into(),
    };
    store(&master).add_tags(vec![tag(1), tag(2)]).await.unwrap();
    for (id, query) in [("a", "1"), ("b", "1"), ("a", "1&mode=replace")] {
        let path = format!("/data/v1/save?id={query}");
        master.client.post(&path, &record(id, 7)).await.managed();
    }
    master.client.delete("/data/v1/delete/b?tableId=1").await.managed();
    // A script, with sqlite3 and not through the node.
    let conn = rusqlite::Connection::open(master.db()).unwrap();
    conn.execute(
        "UPDATE finance_data SET operating_income = 42 WHERE subject_key = '33:000002'",
        [],
    )
    .unwrap();
    drop(conn);
    master.client.ingest(&[row("33:000001", Q2, json!({"operating_income": 1}))]).await;
    in_step(&master, &slave).await;
    let ask = json!({"subjects": "33:000009,33:000002", "ids": "brand_new,operating_income", "from": 0, "to": Q2});
    let here = slave.client.post(PERIOD, &ask).await.data();
    assert_eq!(here, master.client.post(PERIOD, &ask).await.data());
    assert_eq!(here[1]["data"][0]["operating_income"], json!(42.0));
    let get = slave.client.get("/data/v1/get/a?tableId=1").await.managed();
    assert_eq!(get["data"], json!({"7": [7]}));
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_slave_takes_no_writes_and_names_its_master() {
    let master = Running::master().await;
    let addr = addr(&master).await;
    let slave = slave(&addr, directory()).await;
    let refused = slave.client.post("/data/v1/save?id=1", &record("a", 1)).await;
    refused.refused_managed(421, &[&addr]);
    let line = row("33:1", 1, json!({})).to_string();
    slave.client.post_text(INGEST, "application/x-ndjson", line).await.refused(421, &[&addr]);
}

#[tokio::test]
async fn both_sides_tell_how_it_stands() {
    let master = Running::master().await;
    let addr = addr(&master).await;
    let slave = slave(&addr, directory()).await;
    master.client.ingest(&year_2020()).await;
    in_step(&master, &slave).await;
    until("the slave says so", async || {
        let told = replication(&slave.client).await;
        told["connected"] == true && told["lag_seconds"] == 0.0 && told["lag_revisions"] == 0
    })
    .await;
    let told = replication(&slave.client).await;
    assert_eq!((&told["master"], &told["state"]), (&json!(addr), &json!("following")));
    assert_eq!((&told["bootstraps"], &told["problem"]), (&json!(1), &json!(null)));
    let ready = String::from_utf8(slave.client.get("/readyz").await.body.to_vec()).unwrap();
    assert!(ready.contains("following") && ready.contains("0 revisions behind"), "{ready}");
    let metrics = String::from_utf8(slave.client.get("/metrics").await.body.to_vec()).unwrap();
    for line in
        ["kamaitachi_replication_lag_revisions 0", "kamaitachi_replication_bootstraps_total 1"]
    {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(metrics.contains("kamaitachi_replication_lag_seconds 0"), "{metrics}");
    let followers = replication(&master.client).await["followers"].take();
    assert_eq!(followers.as_array().unwrap().len(), 1, "{followers}");
    assert_eq!(followers[0]["node"], json!(slave.node.local_addr().to_string()));
    assert_eq!(followers[0]["state"], "following");
    assert_eq!(slave.client.get(STATS).await.data()["mode"], "slave");
}

#[tokio::test]
async fn what_others_write_to_a_slaves_file_is_gone_after_a_new_copy() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let slave = slave(&addr(&master).await, directory()).await;
    let conn = rusqlite::Connection::open(slave.db()).unwrap();
    conn.execute("UPDATE finance_data SET operating_income = -1", []).unwrap();
    drop(conn);
    until("it starts from a copy again", async || has_started_from_copies(&slave.client, 2).await)
        .await;
    assert!(slave.db().with_extension("db.aside").exists(), "what was written is kept");
    end_equal(master, slave).await;
}
