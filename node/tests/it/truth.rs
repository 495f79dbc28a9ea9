//! Whatever was asked, written, cleared and evicted before: every answer is the one that a naive
//! computation over the SQLite file gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use proptest::{prelude::*, test_runner::TestRunner};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::support::{
    Client, INGEST, PERIOD, RESET, Running, SELECT_PERIOD, SELECT_SNAPSHOT, SNAPSHOT, row,
};

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

#[derive(Clone, Debug)]
struct Question {
    ids: Vec<&'static str>,
    subjects: Vec<u8>,
    topic: Option<usize>,
    keyword: Option<&'static str>,
    time: Time,
    field: &'static str,
    ascending: bool,
    offset: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Newest,
    At(i64),
    Between(i64, i64),
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

fn question() -> impl Strategy<Value = Question> {
    let ids = proptest::sample::subsequence(&INDICATORS[..], 1..=4);
    let subjects = proptest::collection::vec(0_u8..16, 0..6);
    let topic = proptest::option::of(0_usize..2);
    let keyword = proptest::option::weighted(
        0.25,
        proptest::sample::select(vec!["", "BANK", "steel", "xyz"]),
    );
    let quarter = -1..=QUARTERS;
    let time = prop_oneof![
        Just(Time::Newest),
        (quarter.clone(), -1..2_i64).prop_map(|(quarter, off)| Time::At(date(quarter) + off)),
        (quarter.clone(), quarter).prop_map(|(a, b)| Time::Between(date(a.min(b)), date(a.max(b)))),
    ];
    let fields = ["report_date", "end_date", "year", "subject"];
    let fields: Vec<&'static str> = INDICATORS.into_iter().chain(fields).collect();
    let page = (proptest::sample::select(fields), any::<bool>(), 0_usize..3, 1_usize..9);
    (ids, subjects, topic, keyword, time, page).prop_map(
        |(ids, subjects, topic, keyword, time, (field, ascending, offset, limit))| Question {
            topic: topic.or((subjects.is_empty() || keyword.is_some()).then_some(0)),
            ids,
            subjects,
            keyword,
            time,
            field,
            ascending,
            offset,
            limit,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => proptest::collection::vec(written(), 1..6).prop_map(Step::Write),
        1 => Just(Step::Clear),
        12 => question().prop_map(Step::Ask),
    ];
    proptest::collection::vec(step, 10..60)
}

impl Question {
    fn path(&self) -> &'static str {
        match (self.keyword.is_some(), self.time) {
            (false, Time::Between(..)) => PERIOD,
            (false, _) => SNAPSHOT,
            (true, Time::Between(..)) => SELECT_PERIOD,
            (true, _) => SELECT_SNAPSHOT,
        }
    }

    fn body(&self) -> Value {
        let subjects: Vec<_> = self.subjects.iter().map(|n| subject(*n)).collect();
        let mut body = json!({"ids": self.ids, "field": self.field, "offset": self.offset,
                              "limit": self.limit, "order": if self.ascending { 1 } else { -1 }});
        let topic = self.topic.map(|n| TOPICS[n]);
        if let Some(keyword) = self.keyword {
            body["selection"] = json!({"id": "concept", "topic": topic, "keyword": keyword, "subject": subjects.join(",")});
        } else {
            body["subjects"] = json!(subjects);
            body["topic"] = json!(topic);
        }
        match self.time {
            Time::Newest => {}
            Time::At(at) => body["timestamp"] = json!(at),
            Time::Between(from, to) => {
                body["from"] = json!(from);
                body["to"] = json!(to);
            }
        }
        body
    }

    /// The subjects meant, in the order of the answer of a period.
    fn scope(&self, truth: &Truth) -> Vec<String> {
        let mut listed = Vec::new();
        for n in &self.subjects {
            if !listed.contains(&subject(*n)) {
                listed.push(subject(*n));
            }
        }
        let Some(topic) = self.topic else { return listed };
        let member = |subject: &String| {
            truth.facts.get(subject).is_some_and(|facts| facts.topic == TOPICS[topic])
        };
        let tagged = |subject: &String| {
            self.keyword.is_none_or(|keyword| {
                truth.tags.iter().any(|(tagged, word)| {
                    tagged == subject && word.to_lowercase().contains(&keyword.to_lowercase())
                })
            })
        };
        if listed.is_empty() || self.keyword.is_some() {
            let all =
                truth.facts.keys().filter(|subject| listed.is_empty() || listed.contains(subject));
            return all.filter(|subject| member(subject) && tagged(subject)).cloned().collect();
        }
        listed.retain(|subject| member(subject));
        listed
    }

    fn answer(&self, truth: &Truth) -> Value {
        let scope = self.scope(truth);
        match self.time {
            Time::Newest => self.newest(truth, &scope, i64::MAX),
            Time::At(at) => self.newest(truth, &scope, at),
            Time::Between(from, to) if self.keyword.is_none() => {
                let item = |subject: &String| {
                    let rows: Vec<_> =
                        truth.rows_of(subject, from, to).rev().map(|row| self.dated(row)).collect();
                    (!rows.is_empty()).then(
                        || json!({"subject": truth.facts[subject].json(subject), "data": rows}),
                    )
                };
                scope.iter().filter_map(item).collect()
            }
            Time::Between(from, to) => {
                let mut dates: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
                for row in scope.iter().flat_map(|subject| truth.rows_of(subject, from, to)) {
                    dates.entry(&row.end_date).or_default().push(row);
                }
                let mut object = Map::new();
                for (date, rows) in dates {
                    let page: Vec<_> = self
                        .page(rows)
                        .map(|row| json!({"subject": truth.facts[&row.subject].json(&row.subject), "data": self.dated(row)}))
                        .collect();
                    object.insert(date.to_owned(), json!(page));
                }
                Value::Object(object)
            }
        }
    }

    fn newest(&self, truth: &Truth, scope: &[String], at: i64) -> Value {
        let rows =
            scope.iter().filter_map(|subject| truth.rows_of(subject, i64::MIN, at).next_back());
        let item = |row: &Row| {
            let mut data = Map::new();
            for id in &self.ids {
                if let Some(value) = row.values[*id] {
                    data.insert((*id).to_owned(), json!(value));
                }
            }
            json!({"subject": truth.facts[&row.subject].json(&row.subject), "data": data})
        };
        self.page(rows.collect()).map(item).collect()
    }

    fn page<'r>(&self, mut rows: Vec<&'r Row>) -> impl Iterator<Item = &'r Row> {
        rows.sort_by(|a, b| {
            let flip =
                |order: std::cmp::Ordering| if self.ascending { order } else { order.reverse() };
            let order = match self.field {
                "report_date" => flip(a.date.cmp(&b.date)),
                "end_date" => flip(a.end_date.cmp(&b.end_date)),
                "year" => flip(a.year.cmp(&b.year)),
                "subject" => flip(a.subject.cmp(&b.subject)),
                field => match (a.values[field], b.values[field]) {
                    (Some(a), Some(b)) => flip(a.partial_cmp(&b).unwrap()),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                },
            };
            // Rows of one subject can share a date that was written into them: the newer comes first.
            order.then_with(|| a.subject.cmp(&b.subject)).then_with(|| b.date.cmp(&a.date))
        });
        rows.into_iter().skip(self.offset).take(self.limit)
    }

    fn dated(&self, row: &Row) -> Value {
        let mut data = json!({"end_date": row.end_date, "period": row.period, "declare_date": row.declare_date,
            "year": row.year, "combine": format!("{}:{}_{}", row.subject, row.year, row.period)});
        for id in &self.ids {
            data[*id] = json!(row.values[*id]);
        }
        data
    }
}

/// What the file holds, read with plain SQL.
struct Truth {
    rows: BTreeMap<(String, i64), Row>,
    facts: BTreeMap<String, Facts>,
    tags: BTreeSet<(String, String)>,
}

struct Row {
    subject: String,
    date: i64,
    end_date: String,
    year: String,
    period: String,
    declare_date: Option<String>,
    values: BTreeMap<&'static str, Option<f64>>,
}

struct Facts {
    name: Option<String>,
    category: Option<String>,
    topic: String,
}

impl Facts {
    fn json(&self, subject: &str) -> Value {
        json!({"subject": subject, "name": self.name.as_deref().unwrap_or(subject), "status": "213001",
               "listing_date": "", "category": self.category.as_deref().unwrap_or("stock")})
    }
}

impl Truth {
    fn read(db: &Path) -> Self {
        let connection = Connection::open(db).unwrap();
        let columns = INDICATORS.join(",");
        let sql = format!(
            "SELECT subject_key, report_date, end_date, year, period, declare_date, {columns} FROM finance_data"
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| {
            let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
            let values =
                INDICATORS.iter().enumerate().map(|(n, id)| (*id, row.get(6 + n).unwrap()));
            Ok(Row {
                subject: row.get(0)?,
                date: row.get(1)?,
                end_date: text(2)?,
                year: text(3)?,
                period: text(4)?,
                declare_date: row.get(5)?,
                values: values.collect(),
            })
        });
        let rows =
            rows.unwrap().map(|row| row.map(|row| ((row.subject.clone(), row.date), row)).unwrap());
        let rows = rows.collect();
        let mut statement = connection
            .prepare("SELECT subject_key, name, category, topic FROM subjects WHERE row_count > 0")
            .unwrap();
        let facts = statement.query_map([], |row| {
            let facts = Facts { name: row.get(1)?, category: row.get(2)?, topic: row.get(3)? };
            Ok((row.get(0)?, facts))
        });
        let facts = facts.unwrap().map(Result::unwrap).collect();
        let mut statement =
            connection.prepare("SELECT subject_key, keyword FROM subject_tags").unwrap();
        let tags = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let tags = tags.unwrap().map(Result::unwrap).collect();
        Self { rows, facts, tags }
    }

    fn rows_of(&self, subject: &str, from: i64, to: i64) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.range((subject.to_owned(), from)..=(subject.to_owned(), to)).map(|(_, row)| row)
    }
}

async fn seeded(max_bytes: usize) -> Running {
    let running = Running::with(|config| config.cache.max_bytes = max_bytes).await;
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
        subject: subject(n).into(),
        id: "concept".into(),
        keyword: KEYWORDS[usize::from(n) % 3].into(),
    });
    running.node.app().core().unwrap().store.add_tags(tags.collect()).await.unwrap();
    running
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
    let askers: Vec<_> = (0..24)
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
    assert!(asked >= 480, "{asked}");
    assert_eq!(running.client.get("/health").await.status, 200);
}
