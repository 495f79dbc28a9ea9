//! Snapshot, period, stats and reset.

use serde_json::{Value, json};

use crate::support::{
    Answer, PERIOD, Q1, Q2, Q3, Q4, RESET, Running, SNAPSHOT, STATS, row, year_2020,
};

async fn filled() -> Running {
    let running = Running::master().await;
    running.client.ingest(&year_2020()).await;
    running
}

/// The subjects of a snapshot answer, in order.
fn order(answer: &Answer) -> Vec<String> {
    let data = answer.data();
    let subject = |item: &Value| item["subject"]["subject"].as_str().unwrap().to_owned();
    data.as_array().unwrap().iter().map(subject).collect()
}

#[tokio::test]
async fn a_snapshot_is_the_newest_row_with_the_defaults_of_the_documents() {
    let node = filled().await;
    let answer = node.client.post(SNAPSHOT, &json!({"subjects": "33:000001"})).await;
    assert_eq!(
        answer.data(),
        json!([{
            "subject": {"subject": "33:000001", "name": "33:000001", "status": "213001",
                        "listing_date": "", "category": "stock"},
            "data": {"operating_income": 103.5, "parent_holder_net_profit": 13.0},
        }])
    );
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(body.starts_with(r#"{"status_code":0,"status_msg":"success","data":["#), "{body}");
    let told = json!({"subjects": ["17:600606"], "ids": ["net_profit", "operating_income"]});
    assert_eq!(
        node.client.post(SNAPSHOT, &told).await.data(),
        json!([{
            "subject": {"subject": "17:600606", "name": "绿地控股", "status": "213002",
                        "listing_date": "1992-03-27", "category": "fund"},
            "data": {"net_profit": -1e-7},
        }])
    );
}

#[tokio::test]
async fn snapshots_sort_with_missing_values_last_and_page() {
    let node = filled().await;
    let all = ["33:000001", "17:600606", "33:000002", "33:999999", "33:000001"];
    let ask = async |field: &str, sort: Value, offset: u64, limit: u64| {
        let body = json!({"subjects": all, "field": field, "order": sort, "offset": offset, "limit": limit});
        order(&node.client.post(SNAPSHOT, &body).await)
    };
    let by_income = ["33:000002", "33:000001", "17:600606"];
    assert_eq!(ask("operating_income", json!(-1), 0, 0).await, by_income);
    assert_eq!(ask("operating_income", json!("DESC"), 0, 10).await, by_income);
    assert_eq!(
        ask("operating_income", json!("1"), 0, 10).await,
        ["33:000001", "33:000002", "17:600606"]
    );
    assert_eq!(ask("subject", json!(1), 0, 10).await, ["17:600606", "33:000001", "33:000002"]);
    assert_eq!(ask("subject", json!(-1), 1, 1).await, ["33:000001"]);
    assert_eq!(
        ask("report_date", json!(-1), 0, 10).await,
        ["33:000001", "33:000002", "17:600606"],
        "ties go by subject, ascending"
    );
    assert_eq!(ask("end_date", json!(1), 0, 1).await, ["17:600606"]);
    assert_eq!(ask("year", json!(1), 0, 1).await, ["17:600606"]);
    assert!(ask("subject", json!(1), 3, 10).await.is_empty());
    assert!(ask("subject", json!(1), 999_999_999_999, 10).await.is_empty());
}

#[tokio::test]
async fn a_timestamp_goes_back_in_time_and_leaves_out_who_was_not_there() {
    let node = filled().await;
    let at = async |timestamp: i64| {
        let body = json!({"subjects": "33:000001,17:600606", "ids": "operating_income",
                          "timestamp": timestamp, "field": "subject", "order": 1});
        node.client.post(SNAPSHOT, &body).await.data()
    };
    let values = |data: Value| -> Vec<Value> {
        data.as_array().unwrap().iter().map(|item| item["data"].clone()).collect()
    };
    assert_eq!(values(at(Q1 - 1).await), [] as [Value; 0]);
    assert_eq!(values(at(Q1).await), [json!({"operating_income": 100.5})]);
    assert_eq!(values(at(Q2).await), [json!({}), json!({"operating_income": 101.5})]);
    assert_eq!(values(at(0).await), [json!({}), json!({"operating_income": 103.5})]);
    assert_eq!(values(at(-5).await), [] as [Value; 0]);
}

#[tokio::test]
async fn topics_stand_for_their_members_and_restrict_lists() {
    let node = filled().await;
    let ask = async |mut body: Value| {
        body["field"] = json!("subject");
        body["order"] = json!("asc");
        order(&node.client.post(SNAPSHOT, &body).await)
    };
    let pool = "stock_a_listing_pool";
    assert_eq!(ask(json!({"topic": pool})).await, ["33:000001", "33:000002"]);
    assert_eq!(ask(json!({"topic": "other_pool"})).await, ["17:600606"]);
    assert_eq!(ask(json!({"topic": pool, "subjects": "17:600606,33:000002"})).await, ["33:000002"]);
    assert!(ask(json!({"topic": "no_such_pool"})).await.is_empty());
}

#[tokio::test]
async fn a_period_holds_both_ends_newest_first_and_nulls_where_nothing_is_known() {
    let node = filled().await;
    let body = json!({"subjects": ["17:600606", "33:000001", "33:404404"], "from": Q2, "to": Q3,
                      "ids": "operating_income,net_profit"});
    let subject = |subject: &str| json!({"subject": subject, "name": subject, "status": "213001", "listing_date": "", "category": "stock"});
    let data = node.client.post(PERIOD, &body).await.data();
    assert_eq!(data[0]["subject"]["subject"], "17:600606", "in the order of the request");
    assert_eq!(
        data[0]["data"],
        json!([{"end_date": "2020-06-30", "period": "596002", "declare_date": null, "year": "2020",
                "combine": "17:600606:2020_596002", "operating_income": null, "net_profit": -1e-7}])
    );
    assert_eq!(
        data[1],
        json!({"subject": subject("33:000001"), "data": [
            {"end_date": "2020-09-30", "period": "596003", "declare_date": null, "year": "2020",
             "combine": "33:000001:2020_596003", "operating_income": 102.5, "net_profit": null},
            {"end_date": "2020-06-30", "period": "596002", "declare_date": null, "year": "2020",
             "combine": "33:000001:2020_596002", "operating_income": 101.5, "net_profit": null},
        ]})
    );
    assert_eq!(data.as_array().unwrap().len(), 2, "who has no row is left out");
    let topic = json!({"topic": "stock_a_listing_pool", "from": Q1, "to": Q1});
    let data = node.client.post(PERIOD, &topic).await.data();
    let subjects: Vec<_> =
        data.as_array().unwrap().iter().map(|item| &item["subject"]["subject"]).collect();
    assert_eq!(subjects, ["33:000001", "33:000002"]);
    let empty = json!({"subjects": "33:000001", "from": Q1 + 1, "to": Q2 - 1});
    assert_eq!(node.client.post(PERIOD, &empty).await.data(), json!([]));
}

#[tokio::test]
async fn answers_say_whether_the_cache_had_them_and_stats_count_it() {
    let node = filled().await;
    let cache = |answer: &Answer| answer.header("x-kamaitachi-cache").unwrap().to_owned();
    let period =
        |ids: &str, from: i64| json!({"subjects": "33:000001", "ids": ids, "from": from, "to": Q4});
    node.client.post(RESET, &json!({})).await.data();
    let first = node.client.post(PERIOD, &period("operating_income", Q2)).await;
    assert_eq!(cache(&first), "miss");
    assert_eq!(cache(&node.client.post(PERIOD, &period("operating_income", Q2)).await), "hit");
    assert_eq!(cache(&node.client.post(PERIOD, &period("operating_income", Q3)).await), "hit");
    let inside = json!({"subjects": "33:000001", "ids": "operating_income", "timestamp": Q3});
    assert_eq!(cache(&node.client.post(SNAPSHOT, &inside).await), "hit");
    assert_eq!(cache(&node.client.post(PERIOD, &period("operating_income", Q1)).await), "partial");
    assert_eq!(
        cache(&node.client.post(PERIOD, &period("operating_income,net_profit", Q1)).await),
        "partial"
    );
    let stats = node.client.get(STATS).await;
    let counted = stats.data();
    assert_eq!(counted["total_records"], json!(9));
    assert_eq!(counted["stock_count"], json!(3));
    assert_eq!(counted["revision"].to_string(), stats.header("x-kamaitachi-revision").unwrap());
    let number = |name: &str| counted["cache"][name].as_u64().unwrap();
    assert_eq!((number("hits"), number("misses"), number("partial_hits")), (3, 3, 2));
    assert_eq!(counted["cache"]["hit_rate"], json!(50.0));
    assert!(number("entries") >= 1 && number("bytes") > 0 && number("max_bytes") > number("bytes"));
    for name in ["evictions", "expired", "rejected_stale", "subject_hits", "subject_misses"] {
        assert!(counted["cache"][name].is_u64(), "{name}");
    }
    assert_eq!(node.client.post(RESET, &json!({})).await.data(), Value::Null);
    let zeroed = node.client.get(STATS).await.data();
    assert_eq!((&zeroed["cache"]["hits"], &zeroed["cache"]["misses"]), (&json!(0), &json!(0)));
    assert!(zeroed["cache"]["entries"].as_u64().unwrap() >= 1);
    assert_eq!(cache(&node.client.post(PERIOD, &period("operating_income", Q1)).await), "hit");
    node.client.post(&format!("{RESET}?clear=true"), &json!({})).await.data();
    let cleared = node.client.get(STATS).await.data();
    assert_eq!((&cleared["cache"]["entries"], &cleared["cache"]["bytes"]), (&json!(0), &json!(0)));
    assert_eq!(cache(&node.client.post(PERIOD, &period("operating_income", Q1)).await), "miss");
}

#[tokio::test]
async fn what_was_known_is_forgotten_when_it_is_written() {
    let node = filled().await;
    let ask = json!({"subjects": "33:000001,33:000002,33:000003", "ids": "operating_income", "field": "subject", "order": 1});
    let income = |data: Value| -> Vec<Value> {
        data.as_array()
            .unwrap()
            .iter()
            .map(|item| item["data"]["operating_income"].clone())
            .collect()
    };
    assert_eq!(income(node.client.post(SNAPSHOT, &ask).await.data()), [json!(103.5), json!(197.0)]);
    let written = node
        .client
        .ingest(&[
            row("33:000001", Q4, json!({"operating_income": 1.25})),
            row("33:000003", Q1, json!({"operating_income": 3})),
        ])
        .await;
    let answer = node.client.post(SNAPSHOT, &ask).await;
    assert_eq!(income(answer.data()), [json!(1.25), json!(197.0), json!(3.0)]);
    let seen: u64 = answer.header("x-kamaitachi-revision").unwrap().parse().unwrap();
    assert!(seen >= written["revision"].as_u64().unwrap());
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused_before_it_costs_memory() {
    let node = Running::with(|config| config.limits.rows = 4).await;
    node.client.ingest(&year_2020()).await;
    let ask = |subjects: &str, from| json!({"subjects": subjects, "ids": "operating_income", "from": from, "to": Q4});
    // Read from the store: five rows and more are too many, four are not.
    let too_many = ask("33:000001,33:000002", Q1);
    node.client.post(PERIOD, &too_many).await.refused(400, &["more than 4 rows", "`from`"]);
    node.client.post(PERIOD, &ask("33:000001", Q1)).await.data();
    node.client.post(PERIOD, &ask("33:000002", Q1)).await.data();
    // By now all of it is known: the answer is as large as it was.
    node.client.post(PERIOD, &too_many).await.refused(400, &["more than 4 rows", "`from`"]);
    node.client.post(PERIOD, &ask("33:000001,33:000002", Q4)).await.data();
}
