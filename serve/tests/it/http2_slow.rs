//! Clients of HTTP/2 that are slow, or only look so.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kamaitachi_serve::limits::{Limits, Phase};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::{
    http2::{connect, connect_with, get, post, stuck},
    http2_limits::{ask, frame},
    support::{BLOCK, start, until},
};

const SHORT: Duration = Duration::from_millis(80);
/// Longer than any short limit is kept.
const LONG: Duration = Duration::from_millis(500);

/// hyper is done with an answer when its last piece is handed over, which may take long to leave.
#[tokio::test]
async fn draining_finishes_an_answer_that_was_handed_over_whole() {
    let server = start(Limits::default());
    let (mut sender, connection) = connect_with(&server, 16 * 1024).await;
    let answer = tokio::spawn(async move { get(&mut sender, "/sized").await });
    server.seen.reached(1).await;
    let seen = server.seen.clone();
    let draining = tokio::spawn(server.handle.drain(Duration::from_secs(30)));
    // From a second on connections on which nothing is in flight are cut.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    seen.open_gate(1);
    let answer = answer.await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 100_000);
    connection.await.unwrap().unwrap();
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_keeps_its_connection_from_being_idle() {
    let idle_timeout = Duration::from_millis(500);
    let server = start(Limits { idle_timeout, ..Limits::default() });
    let (mut sender, _connection) = connect_with(&server, 16 * 1024).await;
    server.seen.open_gate(1);
    let answer = get(&mut sender, "/sized").await;
    tokio::time::sleep(4 * idle_timeout).await;
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 100_000);
    until(|| server.handle.counters().timed_out(Phase::Idle) == 1).await;
}

#[tokio::test]
async fn a_client_that_takes_less_than_a_piece_at_a_time_is_no_slow_one() {
    let limits = Limits { write_timeout: Duration::from_secs(1), ..Limits::default() };
    let server = start(limits);
    let (mut sender, _connection) = connect_with(&server, 1_024).await;
    let mut body = get(&mut sender, "/big").await.into_body();
    let mut taken = 0;
    // Several times as long as a piece may take that stands still.
    while taken < BLOCK {
        taken += body.frame().await.unwrap().unwrap().data_ref().unwrap().len();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(server.handle.counters().timed_out(Phase::Write), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_fails_alone() {
    let server = start(Limits { write_timeout: SHORT, ..Limits::default() });
    let (mut sender, _connection) = connect_with(&server, 16 * 1024).await;
    let mut other = sender.clone();
    let busy = tokio::spawn(async move { post(&mut other, "/gate", "").await });
    server.seen.reached(1).await;
    let unread = get(&mut sender, "/big").await;
    let counters = server.handle.counters();
    until(|| counters.timed_out(Phase::Write) == 1).await;
    unread.into_body().collect().await.unwrap_err();
    server.seen.open_gate(1);
    assert_eq!(busy.await.unwrap(), "POST http://a/gate []");
    assert_eq!((counters.timed_out(Phase::Write), counters.open()), (1, 1));
}

/// Nothing can be reset any more that was handed over whole.
#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_cut() {
    let server = start(Limits { write_timeout: SHORT, ..Limits::default() });
    let (mut sender, _connection) = connect_with(&server, 16 * 1024).await;
    server.seen.open_gate(1);
    let unread = get(&mut sender, "/sized").await;
    let counters = server.handle.counters();
    until(|| counters.open() == 0).await;
    assert_eq!(counters.timed_out(Phase::Write), 1);
    unread.into_body().collect().await.unwrap_err();
}

#[tokio::test]
async fn an_upload_that_stops_fails_alone() {
    let server = start(Limits { body_timeout: SHORT, ..Limits::default() });
    let (mut sender, _connection) = connect(&server).await;
    let mut other = sender.clone();
    let busy = tokio::spawn(async move { post(&mut other, "/gate", "abc").await });
    server.seen.reached(1).await;
    let answer = sender.send_request(stuck("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    server.seen.open_gate(1);
    assert_eq!(busy.await.unwrap(), "POST http://a/gate [abc]");
    let counters = server.handle.counters();
    assert_eq!((counters.timed_out(Phase::Body), counters.open()), (1, 1));
}

#[tokio::test]
async fn an_upload_that_nobody_asks_for_is_no_slow_one() {
    let body_timeout = Duration::from_secs(1);
    let server = start(Limits { body_timeout, body_rate: 1 << 30, ..Limits::default() });
    let (mut sender, _connection) = connect(&server).await;
    // More than the window holds.
    let body = "y".repeat(128 << 10);
    let request = Request::post("http://a/gate").body(Full::from(body).boxed_unsync()).unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    server.seen.reached(1).await;
    tokio::time::sleep(2 * body_timeout).await;
    server.seen.open_gate(1);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.unwrap().to_bytes().len() > 128 << 10);
    assert_eq!(server.handle.counters().timed_out(Phase::Body), 0);
}

/// Closing a socket that something was sent to resets it, and takes along what was not read.
#[tokio::test]
async fn a_client_gets_what_it_was_sent_before_the_end() {
    // A busy machine may think that its client is silent, but not always.
    for _ in 0..10 {
        let server = start(Limits::default());
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut client = socket.connect(server.address()).await.unwrap();
        client.write_all(&ask("/sized", 1)).await.unwrap();
        server.seen.open_gate(1);
        server.seen.reached(1).await;
        let draining = tokio::spawn(server.handle.drain(Duration::from_secs(30)));
        // As long as a connection is kept on which all is said, and longer.
        let mut whole = true;
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            whole &= client.write_all(&frame(8, 0, 0, &[0, 0, 0, 1])).await.is_ok();
        }
        let mut bytes = Vec::new();
        whole &= client.read_to_end(&mut bytes).await.is_ok() && bytes.len() > 100_000;
        drop(client);
        draining.await.unwrap();
        if whole {
            return;
        }
    }
    panic!("no client got all");
}
