//! How many connections a server takes.

use kamaitachi_serve::limits::{Limits, Refused};

use crate::support::{Harness, start, until};

async fn fills_up(server: &Harness, refused: Refused) {
    let mut first = server.connect().await;
    let second = server.connect().await;
    let counters = server.handle.counters();
    until(|| counters.open() == 2).await;
    let answer = server.connect().await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert_eq!(counters.refused(refused), 1);
    // Also who asks before looking for an answer hears it, instead of a reset.
    let mut eager = server.connect().await;
    until(|| counters.refused(refused) == 2).await;
    eager.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eager.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(eager.rest().await.starts_with("HTTP/1.1 503"));
    // Who is in is served, and a place that comes free is taken.
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(first.response().await.starts_with("HTTP/1.1 200"));
    drop(second);
    until(|| counters.open() == 1).await;
    let mut third = server.connect().await;
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(third.response().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_full_server_refuses_and_recovers() {
    fills_up(&start(Limits { connections: 2, ..Limits::default() }), Refused::Full).await;
}

#[tokio::test]
async fn one_client_can_not_take_all() {
    fills_up(&start(Limits { connections_per_ip: 2, ..Limits::default() }), Refused::PerIp).await;
}
