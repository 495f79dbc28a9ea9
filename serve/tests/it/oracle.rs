//! HTTP/1 against hyper: the same streams, cut in the same places, get the same answers from both.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use kamaitachi_serve::server::Server;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::PATIENCE;

/// An answer's body: its pieces come one at a time, each after a pause, and its length may be a secret.
struct Pieces {
    left: Vec<Bytes>,
    is_known: bool,
    is_ready: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.is_ready, false) {
            self.is_ready = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.left.pop().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_known && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.left.iter().map(Bytes::len).sum::<usize>() as u64;
        if self.is_known { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

fn fields(headers: &HeaderMap) -> Vec<String> {
    let mut fields: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}={:?}", value.as_bytes())).collect();
    fields.sort();
    fields
}

/// Says all that is known of the request, in a form that its `X-Shape` asks for.
async fn answer<B: Body<Data = Bytes>>(request: Request<B>) -> Response<Pieces> {
    let (head, body) = request.into_parts();
    let hint = body.size_hint().exact();
    let text = match body.collect().await {
        Ok(whole) => {
            let trailers = whole.trailers().map(fields);
            let content = whole.to_bytes();
            format!(
                "{} {} {:?} {:?} {hint:?} {content:?} {trailers:?}",
                head.method,
                head.uri,
                head.version,
                fields(&head.headers)
            )
        }
        Err(_) => "broken".to_owned(),
    };
    let shape = head.headers.get("x-shape").and_then(|shape| shape.to_str().ok());
    let mut words = shape.unwrap_or("200 known").split(' ');
    let status = words.next().and_then(|status| status.parse().ok());
    let kind = words.next().unwrap_or("known");
    let bytes = Bytes::from(text);
    let half = bytes.len() / 2;
    let left = match kind {
        "empty" => Vec::new(),
        "large" => vec![Bytes::from(vec![b'x'; 100_000]), bytes.slice(half..), bytes.slice(..half)],
        _ => vec![bytes.slice(half..), bytes.slice(..half)],
    };
    let length = left.iter().map(Bytes::len).sum::<usize>();
    let is_known = matches!(kind, "known" | "empty" | "large");
    let mut response = Response::new(Pieces { left, is_known, is_ready: false });
    *response.status_mut() = status.unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.append("x-twice", HeaderValue::from_static("a"));
    headers.append("x-twice", HeaderValue::from_static("b"));
    match kind {
        "told" => drop(headers.insert("content-length", length.into())),
        "closing" => drop(headers.insert("connection", HeaderValue::from_static("close"))),
        _ => {}
    }
    response
}

/// Both servers, for as long as the runtime goes on.
async fn servers() -> (SocketAddr, SocketAddr) {
    let ours = Server::new(([127, 0, 0, 1], 0).into())
        .workers(1)
        .start(|_| {
            |_| tower::service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) })
        })
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hypers = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request| async {
                Ok::<_, Infallible>(answer(request).await)
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    let address = ours.local_addr();
    // It serves until the process ends.
    std::mem::forget(ours);
    (address, hypers)
}

/// Sends the stream in pieces and reads to the end.
async fn talk(to: SocketAddr, stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let stream = stream.to_vec();
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let connection = TcpStream::connect(to).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = connection.into_split();
    let sending = tokio::spawn(async move {
        let mut from = 0;
        for end in ends {
            // A server that closes first is within its rights.
            if writer.write_all(&stream[from..end]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
            from = end;
        }
        let _ = writer.shutdown().await;
    });
    let mut all = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut all)).await.expect("the server closes").unwrap();
    sending.await.unwrap();
    all
}

/// Status line, fields but for `Date` and `Connection`, and content of each answer.
fn read(mut bytes: &[u8], methods: &[String]) -> Vec<(String, Vec<String>, Vec<u8>)> {
    let mut answers = Vec::new();
    for method in methods {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { break };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap();
        let mut headers: Vec<String> = lines.collect();
        let named =
            |name: &str| headers.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let length = named("content-length: ").map(|length| length.parse::<usize>().unwrap());
        let is_bare = method == "HEAD" || [" 204 ", " 304 "].iter().any(|s| status.contains(s));
        let mut content = Vec::new();
        if is_bare {
        } else if named("transfer-encoding: ").is_some() {
            loop {
                let line = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
                let size = std::str::from_utf8(&bytes[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                content.extend_from_slice(&bytes[line + 2..line + 2 + size]);
                bytes = &bytes[line + 2 + size + 2..];
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = length.unwrap_or(bytes.len());
            content.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
        }
        headers.retain(|line| !line.starts_with("date: ") && !line.starts_with("connection: "));
        headers.sort();
        answers.push((status, headers, content));
    }
    assert!(bytes.is_empty(), "{:?}", String::from_utf8_lossy(bytes));
    answers
}

fn request() -> impl Strategy<Value = (String, Vec<u8>)> {
    let field = select(vec![
        "X-Same: one\r\n",
        "X-Same: two\r\n",
        "x-other:  \t blanks \t\r\n",
        "Empty:\r\n",
        "X-High: \u{fc}\r\n",
        "Connection: keep-alive, x-a\r\n",
        "Accept: */*\r\n",
    ]);
    let shape =
        select(vec![
            "",
            "200 known",
            "200 secret",
            "200 told",
            "200 empty",
            "404 large",
            "204 empty",
            "304 empty",
            "500 secret",
            "299 known",
            "205 empty",
        ])
        .prop_map(|shape| {
            if shape.is_empty() { String::new() } else { format!("X-Shape: {shape}\r\n") }
        });
    let body = prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..60).prop_map(|b| (format!("Content-Length: {}\r\n", b.len()), b)),
        vec(vec(any::<u8>(), 1..30), 0..4).prop_map(|chunks| {
            let mut bytes: Vec<u8> = chunks
                .iter()
                .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
                .collect();
            bytes.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), bytes)
        }),
    ];
    let method = select(vec!["GET", "POST", "HEAD", "DELETE", "M-SEARCH"]);
    let target = select(vec!["/", "/a?b=c", "/%e4/x", "http://a.b:80/c", "/{x}|"]);
    (method, target, vec(field, 0..5), shape, body).prop_map(
        |(method, target, fields, shape, (framing, body))| {
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: a\r\n{}{shape}{framing}\r\n",
                fields.concat()
            );
            (method.to_owned(), [head.as_bytes(), &body].concat())
        },
    )
}

/// The last request of a connection: one that closes it.
fn last() -> impl Strategy<Value = (String, Vec<u8>)> {
    select(vec![
        ("GET", "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("GET", "GET /last HTTP/1.1\r\nHost: a\r\nX-Shape: 200 closing\r\n\r\n"),
        ("GET", "GET /last HTTP/1.0\r\n\r\n"),
        ("GET", "GET /last HTTP/1.0\r\nX-Shape: 200 secret\r\n\r\n"),
        ("HEAD", "HEAD /last HTTP/1.0\r\nX-Shape: 200 known\r\n\r\n"),
        ("POST", "POST /last HTTP/1.0\r\nContent-Length: 2\r\n\r\nab"),
        ("GET", "GET /last HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
    .prop_map(|(method, bytes)| (method.to_owned(), bytes.as_bytes().to_vec()))
}

#[test]
fn streams_of_requests_get_the_answers_that_hyper_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, hypers) = runtime.block_on(servers());
    let streams = (vec(request(), 0..5), last(), vec(any::<usize>(), 0..4));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(128));
    runner
        .run(&streams, |(mut requests, last, cuts)| {
            requests.push(last);
            let methods: Vec<_> = requests.iter().map(|(method, _)| method.clone()).collect();
            let stream = requests.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
            let [own, other] = runtime.block_on(async {
                [talk(ours, &stream, &cuts).await, talk(hypers, &stream, &cuts).await]
            });
            let [own, other] = [read(&own, &methods), read(&other, &methods)];
            prop_assert_eq!(own.len(), methods.len());
            prop_assert_eq!(own, other);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_is_never_taken_for_a_whole_one() {
    struct Breaking(bool);
    impl Body for Breaking {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Some(Err(std::io::ErrorKind::InvalidData.into())));
            }
            cx.waker().wake_by_ref();
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"begun")))))
        }
    }
    let server = Server::new(([127, 0, 0, 1], 0).into())
        .workers(1)
        .start(|_| {
            |_| {
                tower::service_fn(|_: Request<_>| async {
                    Ok::<_, Infallible>(Response::new(Breaking(false)))
                })
            }
        })
        .unwrap();
    for (request, ends_cleanly) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        // Its end is the connection's: only a reset tells that it is not whole.
        ("GET / HTTP/1.0\r\n\r\n", false),
    ] {
        let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let read = timeout(PATIENCE, client.read_to_end(&mut all)).await.expect("an end");
        assert_eq!(read.is_ok(), ends_cleanly, "{request:?}");
        assert!(!all.ends_with(b"0\r\n\r\n"), "{all:?}");
    }
}

#[tokio::test]
async fn a_body_may_be_read_while_its_answer_is_sent() {
    /// Gives back what the request's body gives.
    struct Echo<B>(B);
    impl<B: Body<Data = Bytes> + Unpin> Body for Echo<B> {
        type Data = Bytes;
        type Error = B::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    let server = Server::new(([127, 0, 0, 1], 0).into())
        .workers(1)
        .start(|_| {
            |_| {
                tower::service_fn(|request: Request<_>| async {
                    Ok::<_, Infallible>(Response::new(Echo(request.into_body())))
                })
            }
        })
        .unwrap();
    let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    for piece in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        client.write_all(chunk.as_bytes()).await.unwrap();
        // Each piece comes back before the next is sent.
        while !seen.ends_with(chunk.as_bytes()) {
            timeout(PATIENCE, client.read_buf(&mut seen)).await.expect("an echo").unwrap();
        }
    }
    client.write_all(b"0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let count = |seen: &[u8], what: &[u8]| seen.windows(what.len()).filter(|w| *w == what).count();
    while count(&seen, b"\n0\r\n\r\n") < 2 {
        timeout(PATIENCE, client.read_buf(&mut seen)).await.expect("an answer").unwrap();
    }
    assert_eq!(count(&seen, b"HTTP/1.1 200 OK"), 2);
}
