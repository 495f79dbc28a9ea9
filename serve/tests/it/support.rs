//! A server to test against, and clients that say exactly what they are told to.

use std::{
    cell::Cell,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Frame};
use kamaitachi_serve::{
    limits::Limits,
    server::{Handle, Incoming, Server},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tower::service_fn;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, what its service has seen, and the gate that `/gate` waits at.
pub(crate) struct Harness {
    pub(crate) handle: Handle,
    pub(crate) seen: Arc<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Requests that reached the service.
    pub(crate) requests: AtomicUsize,
    /// Bodies that ended in an error.
    pub(crate) broken: AtomicUsize,
    /// Blocks of `/held` that are alive.
    pub(crate) held: Arc<AtomicUsize>,
    gate: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Seen {
    /// Lets `n` requests for `/gate` through.
    pub(crate) fn open_gate(&self, n: usize) {
        self.gate.0.add_permits(n);
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Waits until the service has seen `n` requests.
    pub(crate) async fn reached(&self, n: usize) {
        until(|| self.requests() >= n).await;
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the condition comes to hold");
}

pub(crate) fn start(limits: Limits) -> Harness {
    start_on(2, limits)
}

pub(crate) fn start_on(workers: usize, limits: Limits) -> Harness {
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    let handle = Server::new(([127, 0, 0, 1], 0).into())
        .workers(workers)
        .limits(limits)
        .name("test")
        .start(move |_| {
            let seen = Arc::clone(&shared);
            move |_| {
                let seen = Arc::clone(&seen);
                // Not Send, which services need not be.
                let served = Cell::new(0);
                service_fn(move |request| {
                    served.set(served.get() + 1);
                    answer(Arc::clone(&seen), request)
                })
            }
        })
        .unwrap();
    Harness { handle, seen }
}

impl Harness {
    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address()).await.unwrap())
    }

    /// Sends `text` on a new connection and reads until the server closes it.
    pub(crate) async fn exchange(&self, text: &str) -> String {
        let mut client = self.connect().await;
        client.send(text).await;
        client.rest().await
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut bytes))
            .await
            .expect("the server closes")
            .unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One response with a Content-Length, head and body.
    pub(crate) async fn response(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("a response").unwrap();
            bytes.push(byte);
        }
    }
}

/// `/`: what the request was. `/gate`: the same once the gate opens. `/big`: 64 MiB.
/// `/unread`: 413 without reading the body. `/panic`: panics. `/sized`: once the gate opens, 100,000 bytes.
/// `/held`: as `/big`, its blocks counted as long as they are held. `/block`: stops the worker for
/// 2.5 s.
async fn answer(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Big>>, Infallible> {
    seen.requests.fetch_add(1, SeqCst);
    let (parts, body) = request.into_parts();
    let (mut status, mut text) = (StatusCode::OK, String::new());
    match parts.uri.path() {
        "/panic" => panic!("on purpose"),
        "/big" => return Ok(Response::new(Either::Right(Big { left: 1024, held: None }))),
        "/held" => {
            let held = Some(Arc::clone(&seen.held));
            return Ok(Response::new(Either::Right(Big { left: 1024, held })));
        }
        "/block" => std::thread::sleep(Duration::from_millis(2_500)),
        "/sized" => {
            seen.gate.0.acquire().await.unwrap().forget();
            text = "x".repeat(100_000);
        }
        "/unread" => status = StatusCode::PAYLOAD_TOO_LARGE,
        path => {
            let had_body = !body.is_end_stream();
            if path == "/gate" {
                seen.gate.0.acquire().await.unwrap().forget();
            }
            match body.collect().await {
                Ok(body) => {
                    let body = body.to_bytes();
                    let body = String::from_utf8_lossy(&body);
                    text = format!("{} {} [{body}]", parts.method, parts.uri);
                }
                Err(_) => {
                    assert!(had_body);
                    seen.broken.fetch_add(1, SeqCst);
                    status = StatusCode::BAD_REQUEST;
                    text = "broken".to_owned();
                }
            }
        }
    }
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    Ok(response)
}

/// Bytes of a block of `/big` and `/held`.
pub(crate) const BLOCK: usize = 64 * 1024;

/// A body of so many blocks.
pub(crate) struct Big {
    left: usize,
    held: Option<Arc<AtomicUsize>>,
}

/// A block that is counted while it is there.
struct Counted(Arc<AtomicUsize>);

static XS: [u8; BLOCK] = [b'x'; BLOCK];

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &XS
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl hyper::body::Body for Big {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return std::task::Poll::Ready(None) };
        self.left = left;
        let block = self.held.as_ref().map_or(Bytes::from_static(&XS), |held| {
            held.fetch_add(1, SeqCst);
            Bytes::from_owner(Counted(Arc::clone(held)))
        });
        std::task::Poll::Ready(Some(Ok(Frame::data(block))))
    }
}
