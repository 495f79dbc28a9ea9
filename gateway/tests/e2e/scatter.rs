//! Questions split by subject, in front of nodes that do as they are told.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Node, Reply, Rig, Seen, nobody, owned_by, request};

const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";
const PER_SUBJECT: &str = "[routes.snapshot]\nlocality = \"per-subject\"\n";

fn names(seen: &Seen) -> Vec<String> {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    match &body["subjects"] {
        Value::String(one) => one.split(',').map(str::to_owned).collect(),
        list => serde_json::from_value(list.clone()).unwrap_or_default(),
    }
}

/// What a node answers that knows of parts; subjects are sorted by themselves.
fn rows(seen: &Seen) -> Value {
    let rows: Vec<_> =
        names(seen).iter().map(|name| json!({"subject": {"subject": name}})).collect();
    let mut answer = json!({"status_code": 0, "status_msg": "success", "data": rows});
    if seen.headers.contains_key("x-kamaitachi-part") {
        answer["part"] = json!({"order": 1, "offset": 0, "limit": 10, "subjects": names(seen)});
    }
    answer
}

fn reply(seen: &Seen, cache: &'static str) -> Reply {
    let mut reply = Reply::ok(rows(seen).to_string());
    reply.response.headers_mut().insert("x-kamaitachi-cache", cache.parse().unwrap());
    reply
}

/// Two nodes with a subject each.
struct Pair {
    nodes: [Node; 2],
    subjects: [String; 2],
}

impl Pair {
    async fn new(
        one: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        two: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let nodes = [Node::scripted(one).await, Node::scripted(two).await];
        let addrs = [nodes[0].addr, nodes[1].addr];
        Self { subjects: addrs.map(|addr| owned_by(addr, &addrs)), nodes }
    }

    fn gateway(&self, more: &str) -> Rig {
        Rig::start(&[&self.nodes[0], &self.nodes[1]], &format!("{PER_SUBJECT}{more}"))
    }

    fn body(&self) -> String {
        json!({"subjects": self.subjects.join(","), "order": 1}).to_string()
    }
}

#[tokio::test]
async fn each_owner_is_asked_about_its_own_and_the_answer_names_all() {
    let pair = Pair::new(|seen| reply(seen, "hit"), |seen| reply(seen, "miss")).await;
    let gateway = pair.gateway("");
    let mut asked = request(Method::POST, &format!("{SNAPSHOT}/"), pair.body());
    for (name, value) in [
        ("x-kamaitachi-min-revision", "7"),
        ("x-request-id", "one-id"),
        ("accept-encoding", "gzip"),
        ("x-own", "kept"),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = gateway.send(asked).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let mut sorted = pair.subjects.clone();
    sorted.sort();
    let found = answer.json();
    assert_eq!(found.as_object().unwrap().len(), 3, "{found}");
    for (row, subject) in found["data"].as_array().unwrap().iter().zip(&sorted) {
        assert_eq!(row["subject"]["subject"], **subject);
    }
    let [one, two] = pair.nodes.each_ref().map(|node| node.addr.to_string());
    assert_eq!(answer.node(), format!("{one}, {two}"));
    assert_eq!(answer.header("x-kamaitachi-cache"), "partial");
    assert_eq!(answer.header("x-request-id"), "one-id");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    for (node, subject) in pair.nodes.iter().zip(&pair.subjects) {
        let seen = node.last();
        assert_eq!(names(&seen), std::slice::from_ref(subject));
        assert_eq!(seen.target, "/kamaitachi/api/data/v1/snapshot/");
        let fields = [
            "x-kamaitachi-min-revision",
            "x-request-id",
            "x-own",
            "x-kamaitachi-part",
            "accept-encoding",
        ];
        let said = fields.map(|name| seen.headers[name].to_str().unwrap().to_owned());
        assert_eq!(said, ["7", "one-id", "kept", "2", "identity"]);
        assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    }
}

#[tokio::test]
async fn splits_parts_and_parts_that_others_answered_are_counted() {
    let alive = Node::scripted(|seen| reply(seen, "hit")).await;
    let refusing = Node::scripted(|seen| match names(seen).len() {
        1 => Reply::status(StatusCode::BAD_REQUEST, "no"),
        _ => reply(seen, "hit"),
    })
    .await;
    let failing = |_: &Seen| Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "no");
    let failing = Node::scripted(failing).await;
    let dead = nobody().await;
    let cases = [
        (alive.addr, "merged", 0),
        (refusing.addr, "whole", 0),
        (failing.addr, "failed", 0),
        (dead, "merged", 1),
    ];
    let first = Node::scripted(|seen| reply(seen, "hit")).await;
    for (second, outcome, elsewhere) in cases {
        let addrs = [first.addr, second];
        let subjects = addrs.map(|addr| owned_by(addr, &addrs)).join(",");
        let gateway = Rig::with(crate::harness::configured(&addrs, None, PER_SUBJECT));
        gateway.post(SNAPSHOT, json!({"subjects": subjects}).to_string()).await;
        let metrics = gateway.admin("/metrics").await;
        let of = |name: &str, labels: &str, n: u32| {
            let line = format!("kamaitachi_scatter_{name}_total{{route=\"snapshot\"{labels}}} {n}");
            assert!(metrics.text().lines().any(|said| said == line), "{line}\n{}", metrics.text());
        };
        of("parts", "", 2);
        of("parts_elsewhere", "", elsewhere);
        for one in ["merged", "whole", "failed"] {
            of("splits", &format!(",outcome=\"{one}\""), u32::from(one == outcome));
        }
    }
}

#[tokio::test]
async fn one_node_is_asked_unless_the_route_says_otherwise_or_all_is_its_own() {
    let pair = Pair::new(|seen| reply(seen, "hit"), |seen| reply(seen, "hit")).await;
    let first = Rig::start(&[&pair.nodes[0], &pair.nodes[1]], "");
    let answer = first.post(SNAPSHOT, pair.body()).await;
    assert_eq!(answer.node(), pair.nodes[0].addr.to_string());
    assert_eq!(pair.nodes[0].last().body, pair.body());
    let split = pair.gateway("");
    let own = &pair.subjects[1];
    for body in [
        json!({"subjects": [own, own]}).to_string(),
        json!({"subjects": own}).to_string(),
        format!(r#"{{"subjects":"{own}","subjects":"{}"}}"#, pair.subjects[0]),
        json!({"topic": "stock_a_listing_pool"}).to_string(),
    ] {
        split.post(SNAPSHOT, body.clone()).await;
        let seen: Vec<_> = pair.nodes.iter().map(|node| node.seen.lock().pop()).collect();
        let got = seen.iter().flatten().find(|seen| seen.body == body).expect("it went whole");
        assert!(!got.headers.contains_key("x-kamaitachi-part"));
    }
}

#[tokio::test]
async fn a_part_that_fails_for_good_fails_the_whole() {
    let pair = Pair::new(
        |seen| reply(seen, "hit"),
        |_| Reply::status(StatusCode::SERVICE_UNAVAILABLE, "not yet"),
    )
    .await;
    let answer = pair.gateway("").post(SNAPSHOT, pair.body()).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::SERVICE_UNAVAILABLE, "not yet"));
    assert_eq!(answer.node(), pair.nodes[1].addr.to_string());

    let alive = Node::scripted(|seen| reply(seen, "hit")).await;
    let addrs = [alive.addr, nobody().await];
    let subjects = addrs.map(|addr| owned_by(addr, &addrs)).join(",");
    let one_try = format!("{PER_SUBJECT}retry = false\n");
    let gateway = Rig::with(crate::harness::configured(&addrs, None, &one_try));
    let answer = gateway.post(SNAPSHOT, json!({"subjects": subjects}).to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.text());
    let gateway = Rig::with(crate::harness::configured(&addrs, None, PER_SUBJECT));
    let answer = gateway.post(SNAPSHOT, json!({"subjects": subjects}).to_string()).await;
    assert_eq!((answer.status, answer.node()), (StatusCode::OK, &*alive.addr.to_string()));
}

#[tokio::test]
async fn what_cannot_be_merged_is_asked_of_one_node() {
    let old = |seen: &Seen| {
        let mut answer = rows(seen);
        answer.as_object_mut().unwrap().remove("part");
        Reply::ok(answer.to_string())
    };
    let refuses = |seen: &Seen| match names(seen).len() {
        1 => Reply::status(StatusCode::BAD_REQUEST, "no"),
        _ => reply(seen, "hit"),
    };
    let long = |seen: &Seen| Reply::ok(rows(seen).to_string() + &" ".repeat(2_000));
    let pairs = [
        Pair::new(old, |seen| reply(seen, "hit")).await,
        Pair::new(|seen| reply(seen, "hit"), refuses).await,
        Pair::new(long, |seen| reply(seen, "hit")).await,
    ];
    for pair in pairs {
        let gateway = pair.gateway("[scatter]\nmax_answers = \"1KiB\"\n");
        let answer = gateway.post(SNAPSHOT, pair.body()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.node(), pair.nodes[0].addr.to_string());
        assert_eq!(pair.nodes[0].last().body, pair.body());
    }
}
