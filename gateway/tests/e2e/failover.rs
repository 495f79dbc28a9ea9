//! Reads that one node gave no answer to, and what clients see when none does.

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};

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
