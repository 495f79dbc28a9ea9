//! What one HTTP/2 client may take.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use kamaitachi_serve::{framing::Violation, limits::Limits};
use tokio::io::AsyncWriteExt as _;

use crate::{
    http2::{connect, get, post},
    support::{BLOCK, Harness, start, until},
};

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// What opens a connection with windows that never close, and asks for `path` on so many streams.
pub(crate) fn ask(path: &str, streams: u8) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    bytes.extend(frame(8, 0, 0, &[0x7f, 0, 0, 0]));
    for stream in 0..streams {
        // :method GET, :scheme http, :authority a, :path
        let mut fields = b"\x82\x86\x01\x01a\x04".to_vec();
        fields.push(u8::try_from(path.len()).unwrap());
        fields.extend_from_slice(path.as_bytes());
        bytes.extend(frame(1, 5, 2 * stream + 1, &fields));
    }
    bytes
}

#[tokio::test]
async fn the_answers_of_one_connection_share_what_may_be_held() {
    const STREAMS: usize = 50;
    let limits = Limits::default();
    let room = limits.http2.send_buffer;
    let server = start(limits);
    let mut client = server.connect().await;
    client.0.write_all(&ask("/held", u8::try_from(STREAMS).unwrap())).await.unwrap();
    // Nothing is read: the sockets fill up, then the server.
    let held = || server.seen.held.load(SeqCst);
    until(|| held() >= STREAMS).await;
    let mut before = usize::MAX;
    while before != held() {
        before = held();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Each may hold one, and all of them the room; one more of it is cut at the limit.
    assert!(held() <= STREAMS + room / BLOCK + 1, "{} blocks", held());
}

/// A server whose heads have to be small.
fn small() -> Harness {
    start(Limits { head_bytes: 2 << 10, headers: 10, target_bytes: 1 << 10, ..Limits::default() })
}

/// Checks that HTTP/2 says the same as HTTP/1 does to `text`.
async fn refused(server: &Harness, answer: Response<Incoming>, text: &str, violation: Violation) {
    assert_eq!(answer.status(), violation.status());
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let same = server.exchange(text).await;
    assert!(same.starts_with(&format!("HTTP/1.1 {} ", violation.status())), "{same}");
    assert!(same.ends_with(std::str::from_utf8(&body).unwrap()), "{same} {body:?}");
    assert_eq!(server.handle.counters().violations(violation), 2);
    assert_eq!(server.seen.requests(), 0);
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let server = small();
    let (mut sender, _connection) = connect(&server).await;
    let path = format!("/{}", "a".repeat(1 << 10));
    let answer = get(&mut sender, &path).await;
    let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(&server, answer, &text, Violation::TargetTooLong).await;
    assert_eq!(post(&mut sender, "/", "").await, "POST http://a/ []", "the connection goes on");
}

#[tokio::test]
async fn more_fields_than_there_may_be_are_refused() {
    let server = small();
    let (mut sender, _connection) = connect(&server).await;
    let mut request = Request::get("http://a/").body(Full::default().boxed_unsync()).unwrap();
    let mut text = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    for n in 0..300 {
        let name = http::HeaderName::try_from(format!("a{n}")).unwrap();
        request.headers_mut().insert(name, http::HeaderValue::from_static("1"));
        text += &format!("a{n}: 1\r\n");
    }
    let answer = sender.send_request(request).await.unwrap();
    refused(&server, answer, &(text + "\r\n"), Violation::HeadTooLarge).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = small();
    let (mut sender, _connection) = connect(&server).await;
    let long = "x".repeat(2 << 10);
    let request = Request::get("http://a/").header("a", &long);
    let request = request.body(Full::default().boxed_unsync()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\na: {long}\r\n\r\n");
    refused(&server, answer, &text, Violation::HeadTooLarge).await;
    // hyper says the same, in fewer words, where it is far too long to be read.
    let request = Request::get("http://a/").header("a", "x".repeat(15 << 10));
    let request = request.header("b", "x".repeat(15 << 10));
    let request = request.body(Full::default().boxed_unsync()).unwrap();
    let answer = sender.send_request(request).await;
    let status = answer.map(|answer| answer.status());
    assert!(status.is_err() || status.unwrap() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
