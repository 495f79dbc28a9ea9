//! What well-behaved clients get.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::support::{start, start_on, until};
use kamaitachi_serve::{
    limits::Limits,
    server::{Connection, Server},
};

#[tokio::test]
async fn a_kept_alive_connection_serves_request_after_request() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    for path in ["/a", "/b?c=d"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = client.response().await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with(&format!("GET {path} []")), "{response}");
        assert!(!response.contains("connection: close"), "{response}");
    }
    assert_eq!(server.handle.counters().accepted(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(Limits::default());
    let mut text = String::new();
    for i in 0..40 {
        let end = if i == 39 { "Connection: close\r\n" } else { "" };
        text += &format!("POST /{i} HTTP/1.1\r\nHost: a\r\n{end}Content-Length: 3\r\n\r\nb{i:02}");
    }
    let answers = server.exchange(&text).await;
    let bodies: Vec<_> = answers.split("HTTP/1.1 200 OK").skip(1).collect();
    assert_eq!(bodies.len(), 40);
    for (i, body) in bodies.iter().enumerate() {
        assert!(body.ends_with(&format!("POST /{i} [b{i:02}]")), "{body}");
    }
}

#[tokio::test]
async fn a_response_does_not_wait_for_the_rest_of_the_next_request() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo").await;
    assert!(client.response().await.ends_with("GET /1 []"));
    client.send("st: a\r\n\r\n").await;
    assert!(client.response().await.ends_with("GET /2 []"));
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    client.0.set_nodelay(true).unwrap();
    let request = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-T: t\r\n\r\n";
    for byte in request.chars() {
        client.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert!(client.response().await.ends_with("POST / [abc0123456789]"));
}

#[tokio::test]
async fn a_large_body_passes_whole() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    let body = "x".repeat(3 << 20);
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))
        .await;
    client.send(&body).await;
    let response = client.rest().await;
    assert!(response.ends_with(&format!("[{body}]")), "{} bytes", response.len());
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.response().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    assert!(client.response().await.ends_with("POST / [abc]"));
}

#[tokio::test]
async fn a_client_may_end_its_side_and_still_be_answered() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    server.seen.reached(1).await;
    server.seen.open_gate(1);
    assert!(client.rest().await.ends_with("GET /gate []"));
}

#[tokio::test]
async fn old_clients_are_answered_and_closed() {
    let server = start(Limits::default());
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_body_nobody_reads_does_not_stand_in_the_way_of_the_next_request() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    for (head, pieces) in [
        ("Content-Length: 6", ["abc", "def"]),
        ("Transfer-Encoding: chunked", ["3\r\nabc\r\n", "0\r\n\r\n"]),
        ("Content-Length: 0", ["", ""]),
    ] {
        client.send(&format!("POST /unread HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n")).await;
        for piece in pieces {
            // The service has answered long before the body is there.
            tokio::time::sleep(Duration::from_millis(10)).await;
            client.send(piece).await;
        }
        let answer = client.response().await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{head}: {answer}");
        assert!(!answer.contains("connection: close"), "{head}: {answer}");
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.response().await.ends_with("GET /next []"), "{head}");
    }
}

#[tokio::test]
async fn an_answer_to_a_body_too_large_to_read_past_says_that_it_is_the_last() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    client.send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_reaches_a_client_whose_body_nobody_reads() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    let length = 4 << 20;
    let head = format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(&head).await;
    client.0.write_all(&vec![b'x'; 256 * 1024]).await.unwrap();
    let response = client.response().await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    // A client that only reads when it has sent everything must not meet a reset on the way.
    client.0.write_all(&vec![b'x'; 256 * 1024]).await.unwrap();
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_before_it_listens_still_hears_why() {
    let server = start(Limits::default());
    let mut client = server.connect().await;
    let length = 24 << 20;
    let head = format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(&head).await;
    client.0.write_all(&vec![b'x'; length]).await.unwrap();
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_panic_costs_its_own_connection_alone() {
    let server = start_on(1, Limits::default());
    let mut other = server.connect().await;
    other.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    other.response().await;
    assert_eq!(server.exchange("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    other.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(other.response().await.ends_with("GET /2 []"));
    let counters = server.handle.counters();
    until(|| counters.open() == 1).await;
}

#[tokio::test]
async fn every_worker_serves_and_knows_both_ends() {
    use bytes::Bytes;
    use http_body_util::Full;
    let handle = Server::new(([127, 0, 0, 1], 0).into())
        .workers(3)
        .start(|worker| {
            move |Connection { peer, local }| {
                tower::service_fn(move |_: http::Request<_>| {
                    let text = format!("{} {peer} {local}", worker.0);
                    std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
                        Full::new(Bytes::from(text)),
                    )))
                })
            }
        })
        .unwrap();
    let address = handle.local_addr();
    let mut workers = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let own = stream.local_addr().unwrap();
        let mut client = crate::support::Client(stream);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.response().await;
        let line = response.lines().last().unwrap().to_owned();
        let (worker, ends) = line.split_once(' ').unwrap();
        assert_eq!(ends, format!("{own} {address}"));
        workers.insert(worker.to_owned());
    }
    assert_eq!(workers.len(), 3, "{workers:?}");
    assert_eq!(handle.drain(Duration::from_secs(5)).await.panicked, 0);
}
