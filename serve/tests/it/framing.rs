//! Smuggling attempts over real connections: each is answered once, and the connection closes.

use std::sync::atomic::Ordering::SeqCst;

use kamaitachi_serve::{framing::Violation, limits::Limits};

use crate::support::{Harness, start};

/// What an attacker hopes will be taken for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn responses(answer: &str) -> usize {
    answer.matches("\r\ndate: ").count()
}

#[track_caller]
fn is_refusal(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert_eq!(responses(answer), 1, "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nconnection: close") && head.contains("\r\ndate: "), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (body["status_code"].as_u64(), body["code"].as_u64()),
        (Some(status.into()), Some(status.into()))
    );
    assert_eq!(body["status_msg"], body["message"]);
    assert!(body["data"].is_null());
}

async fn refuses(server: &Harness, request: &str, violation: Violation) {
    let before = server.handle.counters().violations(violation);
    let answer = server.exchange(&format!("{request}{SMUGGLED}")).await;
    is_refusal(&answer, violation.status());
    assert_eq!(server.handle.counters().violations(violation), before + 1, "{request:?}");
}

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_never_reach_the_service() {
    let server = start(Limits::default());
    let both = Violation::BothLengths;
    let coding = Violation::TransferEncoding;
    for (fields, violation) in [
        // CL.TE and TE.CL.
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", both),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", both),
        // TE.TE: one of the two is hidden from somebody.
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", coding),
        ("Transfer-Encoding: xchunked\r\n", coding),
        ("Transfer-Encoding:\x0bchunked\r\n", Violation::ControlCharacter),
        ("Transfer-Encoding: chunked, identity\r\n", coding),
        ("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", coding),
        ("Transfer-Encoding : chunked\r\n", Violation::SpaceBeforeColon),
        ("X: a\nTransfer-Encoding: chunked\r\n", Violation::BareLineFeed),
        ("X: a\rTransfer-Encoding: chunked\r\n", Violation::ControlCharacter),
        ("Transfer-Encoding:\r\n chunked\r\n", coding),
        ("X: a\r\n Transfer-Encoding: chunked\r\n", Violation::Folding),
        ("Transfer_Encoding: chunked\r\n", Violation::FieldName),
        // CL.CL.
        ("Content-Length: 3\r\nContent-Length: 3\r\n", Violation::RepeatedContentLength),
        ("Content-Length: 0\r\nContent-Length: 44\r\n", Violation::RepeatedContentLength),
        ("Content-Length: 3, 3\r\n", Violation::ContentLength),
        ("Content-Length: +3\r\n", Violation::ContentLength),
        ("Content-Length: 0x3\r\n", Violation::ContentLength),
        ("Content-Length: 18446744073709551617\r\n", Violation::ContentLength),
        ("Host: b\r\n", Violation::HostCount),
        ("A\0: b\r\n", Violation::ControlCharacter),
        ("A: \0b\r\n", Violation::ControlCharacter),
    ] {
        refuses(&server, &post(fields), violation).await;
    }
    for (line, violation) in [
        ("GET / HTTP/1.1", Violation::HostCount),
        ("GET / HTTP/2.0", Violation::Version),
        ("GET / HTTP/0.9", Violation::Version),
        ("GET /", Violation::RequestLine),
        ("GET  / HTTP/1.1", Violation::RequestLine),
        ("PRI * HTTP/2.0", Violation::Version),
    ] {
        refuses(&server, &format!("{line}\r\n\r\n"), violation).await;
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refuses(&server, old, Violation::EncodingInOldVersion).await;
    assert_eq!(server.seen.requests(), 0);
}

#[tokio::test]
async fn heads_over_the_limits_get_their_own_statuses() {
    let server = start(Limits::default());
    let long = "a".repeat(9000);
    refuses(&server, &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), Violation::TargetTooLong)
        .await;
    let fields = format!("X: {long}\r\n").repeat(4);
    refuses(&server, &post(&fields), Violation::HeadTooLarge).await;
    refuses(&server, &post(&"X: a\r\n".repeat(100)), Violation::HeadTooLarge).await;
    assert_eq!(server.seen.requests(), 0);
    let most = post(&("X: a\r\n".repeat(98) + "Connection: close\r\n"));
    assert!(server.exchange(&most).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn noise_is_refused_without_waiting_for_a_line() {
    let server = start(Limits::default());
    is_refusal(&server.exchange("\x16\x03\x01\x02").await, 400);
}

#[tokio::test]
async fn answers_to_earlier_requests_come_first() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await;
    client.send(SMUGGLED).await;
    server.seen.reached(1).await;
    server.seen.open_gate(1);
    let answers = client.rest().await;
    let (first, second) = answers.split_once("GET /gate []").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK"), "{first}");
    is_refusal(second, 400);
    assert_eq!(server.seen.requests(), 1);
}

#[tokio::test]
async fn what_follows_a_closing_request_is_nobodys_business() {
    let server = start(Limits::default());
    let request = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(&format!("{request}garbage\n\n")).await;
    assert!(answer.ends_with("GET /1 []"), "{answer}");
    assert_eq!(responses(&answer), 1, "{answer}");
}

#[tokio::test]
async fn a_malformed_chunk_breaks_the_body_and_is_answered_once() {
    let server = start(Limits::default());
    for body in ["x\r\n", "3\r\nabcdef\r\n", "3\nabc\r\n", "0\r\nHost: b\r\n\r\n", "3 \r\nabc\r\n"]
    {
        let request = post("Transfer-Encoding: chunked\r\n") + "2\r\nok\r\n" + body + SMUGGLED;
        let answer = server.exchange(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(responses(&answer), 1, "{answer}");
    }
    // The service saw the bodies break, and none of them as whole.
    assert_eq!((server.seen.requests(), server.seen.broken.load(SeqCst)), (5, 5));
}

#[tokio::test]
async fn a_body_that_the_client_cuts_short_breaks() {
    let server = start(Limits::default());
    for request in [
        post("Content-Length: 10\r\n") + "abc",
        post("Transfer-Encoding: chunked\r\n") + "3\r\nab",
        post("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n",
    ] {
        use tokio::io::AsyncWriteExt as _;
        let mut client = server.connect().await;
        client.send(&request).await;
        client.0.shutdown().await.unwrap();
        client.rest().await;
    }
    assert_eq!(server.seen.broken.load(SeqCst), 3);
}
