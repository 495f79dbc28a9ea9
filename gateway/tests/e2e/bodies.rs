//! Bodies, long and broken, in both directions.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Node, Reply, Rig, configured, whole};

const INGEST: &str = "/data/kamaitachi/api/data/v1/ingest";
const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";
const PIECE: usize = 64 * 1024;

type Pieces = StreamBody<
    Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send>>,
>;

/// A body of `pieces`, that does not say how long it is; then `end`, if that is an error.
fn pieces(pieces: usize, end: Option<std::io::Error>) -> Pieces {
    let whole = (0..pieces).map(|i| {
        let byte = u8::try_from(i % 251).unwrap();
        Ok(Frame::data(Bytes::from(vec![byte; PIECE])))
    });
    StreamBody::new(Box::pin(futures_util::stream::iter(whole.chain(end.map(Err)))))
}

async fn post(rig: &Rig, target: &str, body: Pieces) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(rig.addr()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(target).header("host", "gateway.test").body(body).unwrap();
    Ok(whole(sender.send_request(request).await?).await)
}

#[tokio::test]
async fn a_long_body_streams_through_to_the_master() {
    let master = Node::scripted(|seen| Reply::ok(seen.body.len().to_string())).await;
    let rig = Rig::with(configured(&[], Some(master.addr), ""));
    let answer = post(&rig, INGEST, pieces(320, None)).await.unwrap();
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, &*(320 * PIECE).to_string()));
    let body = master.last().body;
    assert!(body.chunks(PIECE).enumerate().all(|(i, piece)| {
        piece.len() == PIECE && piece.iter().all(|byte| usize::from(*byte) == i % 251)
    }));
}

#[tokio::test]
async fn a_body_over_the_limit_of_its_route_is_413_announced_or_not() {
    let node = Node::start().await;
    let limits = "[routes.ingest]\nmax_body = '1MiB'\n[routes.save]\nmax_body = '64KiB'\n";
    let rig = Rig::with(configured(&[node.addr], Some(node.addr), limits));
    for (target, limit) in [(SNAPSHOT, 1 << 20), (INGEST, 1 << 20), ("/data/v1/save", PIECE)] {
        let announced = rig.post(target, vec![b' '; limit + 1]).await;
        assert_eq!(announced.status, StatusCode::PAYLOAD_TOO_LARGE, "{target}");
        assert_eq!(announced.json()["code"], 413);
        assert!(announced.text().contains(&limit.to_string()));
        let found_out = post(&rig, target, pieces(limit / PIECE + 1, None)).await.unwrap();
        assert_eq!(found_out.status, StatusCode::PAYLOAD_TOO_LARGE, "{target}");
        assert_eq!(node.served(), 0, "{target}: a cut body was taken for a whole one");
    }
    for (target, limit) in [(SNAPSHOT, 1 << 20), (INGEST, 1 << 20), ("/data/v1/save", PIECE)] {
        assert_eq!(rig.post(target, vec![b' '; limit]).await.status, StatusCode::OK, "{target}");
    }
    // A client that sends too much says nothing about the node.
    let breaker = rig.breaker(&format!("ingest@{}", node.addr)).await;
    assert_eq!(breaker["failures"], 0, "{breaker}");
}

#[tokio::test]
async fn a_body_that_breaks_off_never_reaches_a_node_as_whole() {
    let node = Node::start().await;
    let rig = Rig::with(configured(&[node.addr], Some(node.addr), ""));
    for target in [SNAPSHOT, INGEST] {
        let broken = pieces(4, Some(std::io::Error::other("cut")));
        let _ = post(&rig, target, broken).await;
        let mut stream = TcpStream::connect(rig.addr()).await.unwrap();
        let head = format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{{}}");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    assert_eq!(node.served(), 0);
    for route in ["snapshot", "ingest"] {
        let breaker = rig.breaker(&format!("{route}@{}", node.addr)).await;
        assert_eq!(breaker["failures"], 0, "{breaker}");
    }
}

/// A node that answers with these bytes and then closes the connection.
async fn node_that_sends(bytes: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut read = [0; 4096];
                let _ = stream.read(&mut read).await;
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                // Read on, so that what was sent is not reset away.
                while stream.read(&mut read).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_long_answer_streams_through_to_a_client_that_takes_its_time() {
    let length = 16 << 20;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    let node = node_that_sends(answer).await;
    let rig = Rig::with(configured(&[node], None, ""));
    let mut sender = crate::harness::connect(rig.addr()).await;
    let request = crate::harness::request(http::Method::GET, "/data/x", "");
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len();
        if read < 1 << 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(read, length);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_seen_as_cut_off() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let node = node_that_sends(answer.to_vec()).await;
        let rig = Rig::with(configured(&[node], None, ""));
        let mut sender = crate::harness::connect(rig.addr()).await;
        let request = crate::harness::request(http::Method::GET, "/data/x", "");
        // Either the head was out before the cut was seen, or nothing was.
        let whole = match sender.send_request(request).await {
            Ok(response) => response.into_body().collect().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(whole.is_err(), "{}", String::from_utf8_lossy(answer));
    }
}

/// What is answered to a body of which `first` bytes come with the head, and the rest some time later, if at all.
async fn dripped(rig: &Rig, target: &str, first: usize, rest: Option<usize>) -> String {
    let mut stream = TcpStream::connect(rig.addr()).await.unwrap();
    let length = first + rest.unwrap_or(1);
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &vec![b' '; first]].concat()).await.unwrap();
    if let Some(rest) = rest {
        tokio::time::sleep(Duration::from_millis(600)).await;
        stream.write_all(&vec![b' '; rest]).await.unwrap();
    }
    let mut answer = Vec::new();
    // What comes after an answer to a body that is cut short may be a reset.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A route that reads bodies for their keys gave them `body_timeout` and no more, whatever they had earned.
#[tokio::test]
async fn the_bytes_of_a_body_earn_it_time_on_every_route() {
    let node = Node::start().await;
    let limits = "[limits]\nbody_timeout = '100ms'\nbody_rate = '1B'\n";
    let rig = Rig::with(configured(&[node.addr], Some(node.addr), limits));
    for target in [SNAPSHOT, "/data/v1/save"] {
        let answer = dripped(&rig, target, 600, Some(10)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408_on_every_route() {
    let node = Node::start().await;
    let limits = "[limits]\nbody_timeout = '100ms'\nbody_rate = '1GiB'\n";
    let rig = Rig::with(configured(&[node.addr], Some(node.addr), limits));
    for target in [SNAPSHOT, "/data/v1/save"] {
        let answer = dripped(&rig, target, 600, None).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{target}: {answer}");
        assert!(answer.contains("request body did not arrive in time"), "{target}: {answer}");
    }
}
