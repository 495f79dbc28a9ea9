//! Reads that one node gave no answer to, and what clients see when none does.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use tokio::time::Instant;

use crate::harness::{Node, Reply, Rig, about, configured, nobody, owned_by};

const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";

/// A node that answers everything with 503, with this word in `X-Kamaitachi-Unavailable`, if any.
async fn unavailable(word: Option<&'static str>) -> Node {
    Node::scripted(move |_| {
        let mut reply = Reply::status(StatusCode::SERVICE_UNAVAILABLE, "node's own");
        let headers = reply.response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        if let Some(word) = word {
            headers.insert("x-kamaitachi-unavailable", HeaderValue::from_static(word));
        }
        reply
    })
    .await
}

#[tokio::test]
async fn a_read_that_a_node_marks_as_not_for_it_goes_to_the_next() {
    for word in ["draining", "starting", "behind"] {
        let (going, other) = (unavailable(Some(word)).await, Node::start().await);
        let rig = Rig::start(&[&going, &other], "");
        let body = about(&owned_by(going.addr, &[going.addr, other.addr]));
        for _ in 0..5 {
            let answer = rig.post(SNAPSHOT, body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.node()), (200, &*other.addr.to_string()));
        }
        let asked = if word == "behind" { 5 } else { 1 };
        assert_eq!(going.served(), asked, "{word}");
        let name = format!("snapshot@{}", going.addr);
        assert_eq!(rig.breaker(&name).await["failures"], 0, "{word}");
    }
}

#[tokio::test]
async fn a_503_without_the_mark_is_the_answer_and_a_failure() {
    let (sick, other) = (unavailable(None).await, Node::start().await);
    let rig = Rig::start(&[&sick, &other], "");
    let answer = rig.post(SNAPSHOT, about(&owned_by(sick.addr, &[sick.addr, other.addr]))).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "node's own"));
    assert_eq!(answer.node(), sick.addr.to_string());
    assert_eq!(rig.breaker(&format!("snapshot@{}", sick.addr)).await["failures"], 1);
}

#[tokio::test]
async fn when_no_node_can_the_last_ones_word_is_the_answer() {
    let nodes = [unavailable(Some("behind")).await, unavailable(Some("behind")).await];
    let rig = Rig::start(&[&nodes[0], &nodes[1]], "");
    let owner = owned_by(nodes[0].addr, &[nodes[0].addr, nodes[1].addr]);
    let answer = rig.post(SNAPSHOT, about(&owner)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "node's own"));
    assert_eq!((answer.header("retry-after"), answer.node()), ("7", &*nodes[1].addr.to_string()));
    assert!(!answer.header("x-request-id").is_empty() && !answer.header("via").is_empty());
}

#[tokio::test]
async fn nodes_that_are_dead_from_the_start_cost_no_client_an_answer() {
    let live = Node::start().await;
    let addrs = [nobody().await, live.addr, nobody().await];
    let rig = Rig::with(configured(&addrs, None, "[health]\nenabled = true\n"));
    for i in 0..200 {
        let answer = rig.post(SNAPSHOT, about(&format!("33:{i:06}"))).await;
        assert_eq!((answer.status.as_u16(), answer.node()), (200, &*live.addr.to_string()), "{i}");
    }
}

/// A node that takes requests and says nothing.
async fn silent() -> Node {
    Node::scripted(|_| Reply::ok("late").after(Duration::from_secs(60))).await
}

/// What the gateway's metrics say of `name`, with its labels.
async fn metric(rig: &Rig, name: &str) -> u64 {
    let page = rig.admin("/metrics").await;
    let line = page.text().lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{name} is not in\n{}", page.text())).trim().parse().unwrap()
}

#[tokio::test]
async fn a_node_that_hangs_costs_clients_little_and_soon_nothing() {
    let (hung, other) = (silent().await, Node::start().await);
    let addrs = [hung.addr, other.addr];
    let rig = Rig::with(configured(&addrs, None, "[retry]\nhedge_at_most = '60ms'\n"));
    let body = about(&owned_by(hung.addr, &addrs));
    let began = Instant::now();
    for _ in 0..30 {
        let answer = rig.post(SNAPSHOT, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.node()), (200, &*other.addr.to_string()));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // After five it is left alone, and on its return one is enough.
    assert!((5..12).contains(&hung.seen.lock().len()), "{}", hung.seen.lock().len());
    let ejections =
        format!("kamaitachi_node_ejections_total{{node=\"{}\",reason=\"late\"}}", hung.addr);
    assert!(metric(&rig, &ejections).await >= 1);
    let hedges =
        |outcome| format!("kamaitachi_hedges_total{{route=\"snapshot\",outcome=\"{outcome}\"}}");
    let [sent, won] = [metric(&rig, &hedges("sent")).await, metric(&rig, &hedges("won")).await];
    assert_eq!(sent, won);
    assert_eq!(sent, hung.seen.lock().len() as u64);
    let tries = |node: &Node| format!("kamaitachi_upstream_tries_total{{node=\"{}\"}}", node.addr);
    let tried = metric(&rig, &tries(&hung)).await + metric(&rig, &tries(&other)).await;
    assert_eq!(tried, 30 + sent);
}

#[tokio::test]
async fn a_slow_but_only_node_is_waited_for() {
    let node = Node::scripted(|_| Reply::ok("slow").after(Duration::from_millis(1_500))).await;
    let rig = Rig::start(&[&node], "[retry]\nhedge_at_most = '60ms'\n");
    let answer = rig.post(SNAPSHOT, "{}").await;
    assert_eq!((answer.status.as_u16(), answer.text(), node.served()), (200, "slow", 1));
}

#[tokio::test]
async fn a_write_is_never_asked_of_another_node_however_late() {
    let master = Node::scripted(|_| Reply::ok("done").after(Duration::from_millis(600))).await;
    let slave = Node::start().await;
    let more = "[retry]\nhedge_at_most = '60ms'\n";
    let rig = Rig::with(configured(&[slave.addr], Some(master.addr), more));
    let answer = rig.post("/data/v1/save?id=1", "{}").await;
    assert_eq!((answer.text(), master.served(), slave.served()), ("done", 1, 0));
}
