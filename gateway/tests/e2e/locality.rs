//! Questions split by subject over real nodes: what the gateway answers is what one node answers.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::{Method, StatusCode};
use kamaitachi_node::{
    Node,
    config::{Config, Role},
    sample::{self, SampleOptions},
};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config as Cases, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{Answer, Rig, configured, nobody, request, send};

const SNAPSHOT: &str = "/kamaitachi/api/data/v1/snapshot";
const PERIOD: &str = "/kamaitachi/api/data/v1/period";
const SELECT_SNAPSHOT: &str = "/kamaitachi/api/selection/v1/snapshot";
const SELECT_PERIOD: &str = "/kamaitachi/api/selection/v1/period";
const SEARCH: &str = "/data/v1/search";

/// Every route asks each owner about its own subjects.
pub(crate) const PER_SUBJECT: &str = r#"
[rate_limit]
enabled = false
[routes.snapshot]
locality = "per-subject"
[routes.period]
locality = "per-subject"
[routes.selection]
locality = "per-subject"
[routes.tables]
locality = "per-subject"
[routes.other]
locality = "per-subject"
"#;

async fn start(db: &Path) -> Node {
    let mut config = Config::embedded(Role::Master, db);
    config.server.workers = Some(1);
    Node::start(config).await.unwrap()
}

async fn post(addr: SocketAddr, path: &str, body: impl ToString) -> Answer {
    let request = request(Method::POST, path, body.to_string());
    send(addr, request).await
}

/// Nodes with the same odd data: ties, extremes, gaps, dates that repeat, records.
struct World {
    nodes: Vec<Node>,
    subjects: Vec<String>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("0.db");
        let options = SampleOptions { stocks: 24, from_year: 2022, ..SampleOptions::new(&db) };
        sample::generate(&options, |_, _| {}).unwrap();
        let first = start(&db).await;
        let addr = first.local_addr();
        let all = json!({"topic": "stock_a_listing_pool", "limit": 100});
        let all = post(addr, SNAPSHOT, all).await.json();
        let subject = |row: &Value| row["subject"]["subject"].as_str().unwrap().to_owned();
        let mut subjects: Vec<_> = all["data"].as_array().unwrap().iter().map(subject).collect();
        subjects.sort();
        let ingested = post_rows(addr, &odd_rows(&subjects)).await;
        assert_eq!(ingested.status, StatusCode::OK, "{}", ingested.text());
        for (at, id) in subjects.iter().enumerate().filter(|(at, _)| at % 3 > 0) {
            let record = json!({"id": id, "data": {"5": [at, 1.50], "9": ["x"]}});
            assert_eq!(post(addr, "/data/v1/save?id=2", record).await.status, StatusCode::OK);
        }
        first.drain(std::future::ready(())).await;
        let mut started = Vec::new();
        for number in 0..nodes {
            let copy = dir.path().join(format!("{number}.db"));
            if number > 0 {
                fs::copy(&db, &copy).unwrap();
            }
            started.push(start(&copy).await);
        }
        subjects.extend(["33:none".to_owned(), "no colon".to_owned()]);
        Self { nodes: started, subjects, _dir: dir }
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::local_addr).collect()
    }
}

fn odd_rows(subjects: &[String]) -> String {
    let mut rows = String::new();
    let values = [0.0, -0.0, 1e300, 5e-324, 0.1, 123_456_789.125, -7.0];
    for (at, subject) in subjects.iter().enumerate() {
        for (quarter, date) in [1_735_603_200, 1_735_603_201, 1_743_379_200].iter().enumerate() {
            if (at + quarter) % 4 == 0 {
                continue;
            }
            let value = values[(at * 3 + quarter) % values.len()];
            let end = ["2024-12-31", "x", "2025-03-31"].iter().cycle().nth(at + quarter);
            let rare = (at % 5 == 0).then_some(value);
            let data = json!({"tied": at % 2, "odd": value, "rare": rare});
            let row =
                json!({"subject": subject, "report_date": date, "end_date": end, "data": data});
            rows.push_str(&format!("{row}\n"));
        }
    }
    rows
}

async fn post_rows(addr: SocketAddr, rows: &str) -> Answer {
    let path = "/kamaitachi/api/data/v1/ingest?create_indicators=true";
    let mut request = request(Method::POST, path, rows.to_owned());
    request.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
    send(addr, request).await
}

/// A path and a body.
type Asked = (&'static str, Value);

fn question(subjects: Vec<String>) -> impl Strategy<Value = Asked> {
    let paths = vec![SNAPSHOT, SNAPSHOT, PERIOD, SELECT_SNAPSHOT, SELECT_PERIOD, SEARCH];
    let ids = ["operating_income", "net_profit", "tied", "odd", "rare"];
    let fields = ["report_date", "end_date", "year", "subject", "", "no_such"];
    let fields: Vec<&'static str> = ids.into_iter().chain(fields).collect();
    let orders = vec![json!(null), json!(1), json!(-1), json!("asc"), json!("DESC"), json!("x")];
    let limits =
        vec![json!(null), json!(1), json!(3), json!(7), json!(0), json!(10_000), json!(-1)];
    let offsets = vec![json!(null), json!(0), json!(1), json!(4), json!(40), json!("x")];
    let times = vec![0_i64, 1_700_000_000, 1_735_603_200, 1_735_603_201, 1_800_000_000];
    let named = (prop::collection::vec(select(subjects), 0..12), any::<bool>());
    let page = (select(fields), select(orders), select(offsets), select(limits));
    let rest = (subsequence(ids.to_vec(), 1..4), select(times.clone()), select(times), 0..12_u8);
    (select(paths), named, page, rest).prop_map(
        |(path, (names, is_list), (field, order, offset, limit), (ids, at, to, topic))| {
            let names = if is_list { json!(names) } else { json!(names.join(" , ")) };
            let mut body = json!({"ids": ids, "field": field, "order": order, "offset": offset, "limit": limit});
            let pool = if topic == 1 { "no_such_pool" } else { "stock_a_listing_pool" };
            let mut add = |more: Value| {
                more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
            };
            match path {
                SEARCH => add(json!({"tableId": 2, "subjectIds": names, "startTime": 6 * (at % 2)})),
                SELECT_SNAPSHOT | SELECT_PERIOD => add(json!({"from": at, "to": to, "timestamp": at,
                    "selection": {"id": "concept", "topic": pool, "subject": names, "keyword": ""}})),
                _ => add(json!({"from": at, "to": to, "timestamp": at, "subjects": names,
                    "topic": (topic < 4).then_some(pool)})),
            }
            (path, body)
        },
    )
}

/// Puts questions to gateways and to one node, and compares. Answers how many were answered by several nodes.
fn compare(runtime: &Runtime, world: &World, gateways: &[Rig], cases: u32) -> usize {
    let split = AtomicUsize::new(0);
    let alone = world.nodes[0].local_addr();
    let mut runner =
        TestRunner::new(Cases { failure_persistence: None, ..Cases::with_cases(cases) });
    let asked = (question(world.subjects.clone()), 0..gateways.len());
    let result = runner.run(&asked, |((path, body), gateway)| {
        runtime.block_on(async {
            let wanted = post(alone, path, &body).await;
            let path = if path == SEARCH { path.to_owned() } else { format!("/data{path}") };
            let got = post(gateways[gateway].addr(), &path, &body).await;
            prop_assert_eq!((got.status, got.text()), (wanted.status, wanted.text()), "{}", body);
            let revision = "x-kamaitachi-revision";
            prop_assert_eq!(got.header(revision), wanted.header(revision));
            prop_assert_eq!(got.header("content-type"), wanted.header("content-type"));
            split.fetch_add(usize::from(got.node().contains(',')), Relaxed);
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    split.load(Relaxed)
}

#[test]
fn answers_are_those_of_one_node_byte_for_byte() {
    let runtime = kamaitachi_gateway::gateway::runtime().unwrap();
    let world = runtime.block_on(World::new(5));
    let addrs = world.addrs();
    let gateway = |nodes: usize| Rig::with(configured(&addrs[..nodes], None, PER_SUBJECT));
    let gateways: Vec<Rig> = (1..=5).map(gateway).collect();
    let split = compare(&runtime, &world, &gateways, 600);
    assert!(split > 150, "{split} of 600 were split");
}

#[test]
fn with_a_node_that_is_gone_its_successors_answer_the_same() {
    let runtime = kamaitachi_gateway::gateway::runtime().unwrap();
    let world = runtime.block_on(World::new(3));
    let mut addrs = world.addrs();
    addrs.push(runtime.block_on(nobody()));
    let gateways = [Rig::with(configured(&addrs, None, PER_SUBJECT))];
    let split = compare(&runtime, &world, &gateways, 200);
    assert!(split > 40, "{split} of 200 were split");
}
