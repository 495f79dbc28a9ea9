//! The client against upstreams that follow a script, over real sockets and a clock that jumps ahead when all wait.
mod answers;
mod elsewhere;
mod healthy;
mod kept;
mod requests;
mod times;

use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use kamaitachi_layers::body::Body;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::LocalSet,
    time::sleep,
};
use tower::{BoxError, Service as _};

use super::*;

/// Runs a test on one thread, as workers run.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// What an upstream does on a connection, one after the other. It closes when there is nothing left to do.
#[derive(Clone, Debug)]
enum Step {
    /// Reads one request, head and body.
    Take,
    /// Reads the head of a request.
    TakeHead,
    Say(Vec<u8>),
    /// Says it byte by byte.
    Drip(Vec<u8>),
    Wait(Duration),
    /// Closes so that the other side gets an error.
    Reset,
    /// Waits until the other side closes, and notes what came before.
    SeeClosed,
}

fn say(answer: impl AsRef<[u8]>) -> Step {
    Step::Say(answer.as_ref().to_vec())
}

/// An answer with this content.
fn ok(content: &str) -> Step {
    say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len()))
}

/// An upstream that follows a script for each connection.
struct Upstream {
    node: Arc<Node>,
    /// What was read on each connection, and `<closed>` where that was seen.
    seen: Rc<RefCell<Vec<String>>>,
}

async fn upstream(scripts: impl IntoIterator<Item = Vec<Step>>) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::new(listener.local_addr().unwrap().to_string(), HealthConfig::default());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (all_seen, scripts) = (Rc::clone(&seen), scripts.into_iter().collect::<Vec<_>>());
    tokio::task::spawn_local(async move {
        for (i, script) in scripts.into_iter().enumerate() {
            let (stream, _) = listener.accept().await.unwrap();
            all_seen.borrow_mut().push(String::new());
            tokio::task::spawn_local(follow(stream, script, i, Rc::clone(&all_seen)));
        }
    });
    Upstream { node, seen }
}

async fn follow(
    mut stream: TcpStream,
    script: Vec<Step>,
    index: usize,
    seen: Rc<RefCell<Vec<String>>>,
) {
    let mut pending = Vec::new();
    let note = |bytes: &[u8]| {
        seen.borrow_mut()[index].push_str(&String::from_utf8_lossy(bytes));
    };
    for step in script {
        match step {
            Step::Take | Step::TakeHead => {
                let head_only = matches!(step, Step::TakeHead);
                while !has_request(&pending, head_only) {
                    if stream.read_buf(&mut pending).await.unwrap_or(0) == 0 {
                        note(&pending);
                        return note(b"<closed>");
                    }
                }
                note(&std::mem::take(&mut pending));
            }
            // The other side may have gone, which is its right.
            Step::Say(bytes) => drop(stream.write_all(&bytes).await),
            Step::Drip(bytes) => {
                stream.set_nodelay(true).unwrap();
                for byte in bytes {
                    drop(stream.write_all(&[byte]).await);
                    sleep(Duration::from_millis(1)).await;
                }
            }
            Step::Wait(time) => sleep(time).await,
            Step::Reset => return stream.set_zero_linger().unwrap(),
            Step::SeeClosed => {
                while stream.read_buf(&mut pending).await.unwrap_or(0) > 0 {}
                note(&pending);
                note(b"<closed>");
            }
        }
    }
}

/// Whether a whole request was read.
fn has_request(read: &[u8], head_only: bool) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
    head_only
        || if head.contains("transfer-encoding: chunked") {
            body.ends_with("0\r\n\r\n")
        } else {
            body.len() >= length.map_or(0, |length| length.parse().unwrap())
        }
}

/// A request body in pieces; `Err` breaks it off, and after the last piece it ends or hangs.
#[derive(Debug)]
struct Pieces {
    pieces: VecDeque<Result<Bytes, &'static str>>,
    length: Option<u64>,
    hangs: bool,
}

impl Pieces {
    fn new<const N: usize>(pieces: [Result<&'static str, &'static str>; N]) -> Self {
        let pieces = pieces.into_iter().map(|piece| piece.map(Bytes::from)).collect();
        Self { pieces, length: None, hangs: false }
    }

    fn announcing(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.pieces.pop_front() {
            None if self.hangs => Poll::Pending,
            piece => Poll::Ready(piece.map(|p| p.map(Frame::data).map_err(Into::into))),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

fn get(target: &str) -> Request<Body<Pieces>> {
    Request::get(target).header("host", "h").body(Body::empty()).unwrap()
}

fn post(body: Body<Pieces>) -> Request<Body<Pieces>> {
    Request::post("/p").header("host", "h").body(body).unwrap()
}

fn small() -> Body<Pieces> {
    Body::buffered(Bytes::from_static(b"{}"))
}

fn client() -> Client {
    Client::new(Settings::default())
}

/// The status and the content of the answer.
async fn content(
    mut endpoint: Endpoint,
    request: Request<Body<Pieces>>,
) -> Result<String, BoxError> {
    let response = endpoint.call(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The answer to a GET from an upstream that says just this.
async fn answer(said: impl AsRef<[u8]>) -> Result<Response<UpstreamBody>, BoxError> {
    let upstream = upstream([vec![Step::Take, say(said)]]).await;
    client().endpoint(&upstream.node).call(get("/")).await
}

fn bad(result: Result<Response<UpstreamBody>, BoxError>) -> BadResponse {
    let error = result.expect_err("should be refused");
    match UpstreamError::find(&*error) {
        Some(UpstreamError::BadResponse(bad)) => *bad,
        other => panic!("{other:?}"),
    }
}

/// Lets everything that can happen now happen.
async fn settle() {
    sleep(Duration::from_millis(5)).await;
}
