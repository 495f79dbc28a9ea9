//! The same port, with prior knowledge of HTTP/2.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body as _, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kamaitachi_serve::limits::{Limits, Phase};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::support::{Harness, start, until};

pub(crate) type Sender = SendRequest<UnsyncBoxBody<Bytes, Infallible>>;

/// A body that gives `first` and then nothing, for ever.
struct Stuck {
    first: Option<Bytes>,
}

impl hyper::body::Body for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.first.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

pub(crate) fn stuck(path: &str) -> Request<UnsyncBoxBody<Bytes, Infallible>> {
    let body = Stuck { first: Some(Bytes::from_static(b"abc")) };
    Request::post(format!("http://a{path}")).body(body.boxed_unsync()).unwrap()
}

pub(crate) async fn connect(server: &Harness) -> (Sender, JoinHandle<hyper::Result<()>>) {
    connect_with(server, 1 << 20).await
}

/// A client that takes `window` bytes of an answer before it is read.
pub(crate) async fn connect_with(
    server: &Harness,
    window: u32,
) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

/// The answer to GET, of which the body is yet to be read.
pub(crate) async fn get(sender: &mut Sender, path: &str) -> Response<Incoming> {
    let request =
        Request::get(format!("http://a{path}")).body(Full::default().boxed_unsync()).unwrap();
    sender.send_request(request).await.unwrap()
}

pub(crate) async fn post(sender: &mut Sender, path: &str, body: &str) -> String {
    let request = Request::post(format!("http://a{path}"))
        .body(Full::new(Bytes::from(body.to_owned())).boxed_unsync())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_run_side_by_side_on_one_connection() {
    let server = start(Limits::default());
    let (mut sender, _connection) = connect(&server).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut sender = sender.clone();
        waiting.push(tokio::spawn(async move { post(&mut sender, "/gate", "x").await }));
    }
    server.seen.reached(20).await;
    // The twenty wait; this one does not wait for them.
    assert_eq!(post(&mut sender, "/", "abc").await, "POST http://a/ [abc]");
    server.seen.open_gate(20);
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), "POST http://a/gate [x]");
    }
    assert_eq!(server.handle.counters().accepted(), 1);
}

#[tokio::test]
async fn head_is_answered_without_the_body_and_with_its_length() {
    let server = start(Limits::default());
    let (mut sender, _connection) = connect(&server).await;
    let request = Request::head("http://a/").body(Full::default().boxed_unsync()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let length = "HEAD http://a/ []".len().to_string();
    assert_eq!(response.headers()["content-length"], length.as_str());
    assert!(response.body().is_end_stream(), "a body follows");
}

#[tokio::test]
async fn a_large_body_passes_whole() {
    let server = start(Limits::default());
    let (mut sender, _connection) = connect(&server).await;
    let body = "y".repeat(3 << 20);
    let answer = post(&mut sender, "/", &body).await;
    assert_eq!(answer.len(), "POST http://a/ []".len() + body.len());
}

#[tokio::test]
async fn draining_finishes_streams_and_closes() {
    let server = start(Limits::default());
    let (sender, connection) = connect(&server).await;
    let (_idle, idle_connection) = connect(&server).await;
    let mut busy = sender.clone();
    let answer = tokio::spawn(async move { post(&mut busy, "/gate", "").await });
    server.seen.reached(1).await;
    let (seen, counters) = (server.seen.clone(), server.handle.counters());
    let draining = tokio::spawn(server.handle.drain(Duration::from_secs(30)));
    idle_connection.await.unwrap().unwrap();
    until(|| counters.open() == 1).await;
    seen.open_gate(1);
    assert_eq!(answer.await.unwrap(), "POST http://a/gate []");
    connection.await.unwrap().unwrap();
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits { idle_timeout: Duration::from_millis(80), ..Limits::default() };
    let server = start(limits);
    let (mut sender, connection) = connect(&server).await;
    post(&mut sender, "/", "").await;
    connection.await.unwrap().unwrap();
    assert_eq!(server.handle.counters().timed_out(Phase::Idle), 1);
}

#[tokio::test]
async fn streams_over_the_limit_wait() {
    let mut limits = Limits::default();
    limits.http2.concurrent_streams = 2;
    let server = start(limits);
    let (mut sender, _connection) = connect(&server).await;
    // The server's settings have arrived once a request was answered.
    post(&mut sender, "/", "").await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut sender = sender.clone();
        waiting.push(tokio::spawn(async move { post(&mut sender, "/gate", "").await }));
    }
    server.seen.reached(3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.seen.requests(), 3);
    server.seen.open_gate(4);
    for answer in waiting {
        answer.await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_that_was_answered_early_is_no_slow_one() {
    let limits = Limits { body_timeout: Duration::from_millis(80), ..Limits::default() };
    let server = start(limits);
    let (mut sender, _connection) = connect(&server).await;
    let response = sender.send_request(stuck("/unread")).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Another request keeps the connection busy for longer than an upload may take.
    let mut busy = sender.clone();
    let answer = tokio::spawn(async move { post(&mut busy, "/gate", "").await });
    server.seen.reached(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.seen.open_gate(1);
    assert_eq!(answer.await.unwrap(), "POST http://a/gate []");
    assert_eq!(server.handle.counters().timed_out(Phase::Body), 0);
}

#[tokio::test]
async fn a_slow_service_is_not_the_clients_fault() {
    let limits = Limits {
        body_timeout: Duration::from_millis(60),
        write_timeout: Duration::from_millis(60),
        idle_timeout: Duration::from_millis(60),
        ..Limits::default()
    };
    let server = start(limits);
    let (mut sender, _connection) = connect(&server).await;
    let answer = tokio::spawn(async move { post(&mut sender, "/gate", "abc").await });
    server.seen.reached(1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.seen.open_gate(1);
    assert_eq!(answer.await.unwrap(), "POST http://a/gate [abc]");
}
