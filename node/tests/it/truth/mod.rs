//! Whatever was asked, written, cleared and evicted before: every answer is the one that a naive
//! computation over the SQLite file gives.

mod question;
mod sql;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::replication::group::{Pair, foretell, pair};
use crate::support::{Client, INGEST, PERIOD, RESET, Running, SNAPSHOT, row};
use question::{Question, question};
use sql::Truth;

const INDICATORS: [&str; 4] =
    ["operating_income", "parent_holder_net_profit", "net_profit", "total_profit"];
const TOPICS: [&str; 2] = ["stock_a_listing_pool", "other_pool"];
const KEYWORDS: [&str; 3] = ["Green Bank", "bank", "Steel"];
const QUARTERS: i64 = 12;

fn date(quarter: i64) -> i64 {
    // Twelve ends of quarters would do as well; equal steps make ranges easy to hit and miss.
    1_500_000_000 + quarter * 7_776_000
}

fn subject(n: u8) -> String {
    format!("33:{n:06}")
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Value>),
    Clear,
    Ask(Question),
}

fn values() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        1 => Just(Value::Null),
        3 => (-3_i32..4).prop_map(|n| json!(f64::from(n) / 2.0)),
        1 => any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| json!(x)),
    ];
    proptest::collection::btree_map(proptest::sample::select(&INDICATORS[..]), value, 0..4)
        .prop_map(|values| json!(values))
}

fn written() -> impl Strategy<Value = Value> {
    let facts = prop_oneof![
        4 => Just(None),
        1 => Just(Some(("topic", json!(TOPICS[1])))),
        1 => Just(Some(("topic", json!(TOPICS[0])))),
        1 => Just(Some(("name", json!("名字")))),
        1 => Just(Some(("end_date", json!("1999-09-09")))),
        1 => Just(Some(("declare_date", json!("2020-02-02")))),
    ];
    (0_u8..12, 0..QUARTERS, values(), facts).prop_map(|(n, quarter, values, fact)| {
        let mut row = row(&subject(n), date(quarter), values);
        if let Some((field, value)) = fact {
            row[field] = value;
        }
        row
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => proptest::collection::vec(written(), 1..6).prop_map(Step::Write),
        1 => Just(Step::Clear),
        12 => question().prop_map(Step::Ask),
    ];
    proptest::collection::vec(step, 10..60)
}

async fn seeded(max_bytes: usize) -> Running {
    let running = Running::with(|config| config.cache.max_bytes = max_bytes).await;
    seed(&running).await;
    running
}

async fn seed(running: &Running) {
    let names = INDICATORS.join(",");
    running
        .client
        .post("/kamaitachi/api/data/v1/indicators", &json!({"indicators": names}))
        .await
        .data();
    let rows: Vec<_> = (0..12)
        .flat_map(|n| (0..QUARTERS).step_by(2).map(move |quarter| (n, quarter)))
        .map(|(n, quarter)| {
            let value = f64::from(n) + f64::from(i32::try_from(quarter).unwrap()) / 10.0;
            row(
                &subject(n),
                date(quarter),
                json!({"operating_income": value, "net_profit": -value}),
            )
        })
        .collect();
    running.client.ingest(&rows).await;
    let tags = (0..12).map(|n| kamaitachi_node::store::Tag {
        subject: subject(n),
        id: "concept".into(),
        keyword: KEYWORDS[usize::from(n) % 3].into(),
    });
    running.node.app().core().unwrap().store.add_tags(tags.collect()).await.unwrap();
}

async fn take(running: &Running, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Write(rows) => {
            running.client.ingest(rows).await;
        }
        Step::Clear => {
            running.client.post(&format!("{RESET}?clear=true"), &json!({})).await.data();
        }
        Step::Ask(question) => {
            let answer = running.client.post(question.path(), &question.body()).await;
            let wanted = question.answer(&Truth::read(&running.db()));
            let cache = answer.header("x-kamaitachi-cache").unwrap_or("none").to_owned();
            prop_assert_eq!(
                answer.data(),
                wanted,
                "{} of {} ({})",
                question.path(),
                question.body(),
                cache
            );
        }
    }
    Ok(())
}

/// Runs random histories against a node whose cache holds so much.
fn histories(max_bytes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running = runtime.block_on(seeded(max_bytes));
    let config =
        ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                for step in &steps {
                    take(&running, step).await?;
                }
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(running.stop());
}

#[test]
fn any_history_of_questions_and_writes_is_answered_as_sql_would() {
    histories(1 << 20);
}

#[test]
fn so_it_is_with_a_cache_that_holds_almost_nothing() {
    histories(4 << 10);
}

/// The same at a slave, which is told by anyone of writes that have come, come, or never do.
#[test]
fn so_it_is_at_a_slave_whatever_its_peers_tell_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pair = runtime.block_on(async {
        let pair = pair(None).await;
        seed(&pair.master).await;
        pair
    });
    let config =
        ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    let told = proptest::collection::vec((0_u8..16, -3_i64..4), 0..60);
    TestRunner::new(config)
        .run(&(steps(), told), |(steps, told)| {
            runtime.block_on(async {
                let mut told = told.into_iter();
                for step in &steps {
                    if let Some((n, ahead)) = told.next() {
                        foretell(&subject(n), &pair.slave, ahead).await;
                    }
                    match step {
                        Step::Ask(question) => ask_slave(&pair, question).await?,
                        Step::Clear => take(&pair.slave, step).await?,
                        Step::Write(_) => take(&pair.master, step).await?,
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

/// Asks the slave for an answer as new as the master's file.
async fn ask_slave(pair: &Pair, question: &Question) -> Result<(), TestCaseError> {
    let revision = pair.master.node.app().core().unwrap().store.confirmed();
    let request = pair.slave.client.request(http::Method::POST, question.path());
    let request = request.header("x-kamaitachi-min-revision", revision);
    let answer = pair.slave.client.send(request.body(question.body().to_string().into()).unwrap());
    let wanted = question.answer(&Truth::read(&pair.master.db()));
    prop_assert_eq!(answer.await.data(), wanted, "{} of {}", question.path(), question.body());
    Ok(())
}

/// Writes the number of the round into two indicators of every subject, round after round.
async fn write_rounds(client: &Client, rounds: u64, acknowledged: &AtomicU64) {
    for round in 1..=rounds {
        let rows: String = (0..8)
            .map(|n| {
                row(&subject(n), date(0), json!({"operating_income": round, "net_profit": round}))
            })
            .map(|row| format!("{row}\n"))
            .collect();
        client.post_text(INGEST, "application/x-ndjson", rows).await.data();
        acknowledged.store(round, SeqCst);
        if round % 7 == 0 {
            client.post(&format!("{RESET}?clear=true"), &json!({})).await.data();
        }
    }
}

/// Asks until the writer is done: every answer is of one round, and of none that was over.
async fn ask_rounds(client: Client, rounds: u64, seed: u64, acknowledged: Arc<AtomicU64>) -> u64 {
    let mut asked = 0;
    while asked < 20 || acknowledged.load(SeqCst) < rounds {
        let body = match (seed + asked) % 3 {
            0 => {
                json!({"subjects": (0..8).map(subject).collect::<Vec<_>>(), "ids": "operating_income,net_profit", "timestamp": date(0)})
            }
            1 => json!({"topic": TOPICS[0], "ids": "net_profit", "timestamp": date(0), "limit": 8}),
            _ => {
                json!({"subjects": [subject(1), subject(2)], "ids": "operating_income,net_profit", "from": date(0), "to": date(0)})
            }
        };
        let path = if body["from"].is_null() { SNAPSHOT } else { PERIOD };
        let least = acknowledged.load(SeqCst);
        let data = client.post(path, &body).await.data();
        let most = acknowledged.load(SeqCst) + 1;
        let items = data.as_array().unwrap();
        assert_eq!(items.len(), if path == PERIOD { 2 } else { 8 }, "{data}");
        let mut seen = BTreeSet::new();
        for item in items {
            let values = if path == PERIOD { &item["data"][0] } else { &item["data"] };
            for id in ["operating_income", "net_profit"] {
                seen.extend(values[id].as_f64().map(f64::to_bits));
            }
        }
        assert_eq!(seen.len(), 1, "one answer, one round: {data}");
        let round = f64::from_bits(*seen.first().unwrap());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and whole"
        )]
        let round = round as u64;
        assert!((least..=most).contains(&round), "{round} is outside {least} to {most}");
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_questions_beside_writes_and_clears_never_see_what_is_over() {
    let running = seeded(1 << 20).await;
    let rows: Vec<_> = (0..8)
        .map(|n| row(&subject(n), date(0), json!({"operating_income": 0, "net_profit": 0})))
        .collect();
    running.client.ingest(&rows).await;
    // The other subjects of the topic leave it, so that every member is written in every round.
    let rows: Vec<_> = (8..12)
        .map(|n| {
            let mut row = row(&subject(n), date(0), json!({}));
            row["topic"] = json!(TOPICS[1]);
            row
        })
        .collect();
    running.client.ingest(&rows).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let rounds = 60;
    let askers: Vec<_> = (0..100)
        .map(|seed| {
            tokio::spawn(ask_rounds(
                running.client.clone(),
                rounds,
                seed,
                Arc::clone(&acknowledged),
            ))
        })
        .collect();
    write_rounds(&running.client, rounds, &acknowledged).await;
    let mut asked = 0;
    for asker in askers {
        asked += asker.await.unwrap();
    }
    assert!(asked >= 2000, "{asked}");
    assert_eq!(running.client.get("/health").await.status, 200);
}
