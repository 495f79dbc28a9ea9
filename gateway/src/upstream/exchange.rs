//! One request and the head of its answer.
use std::{
    fmt, io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, request::Parts};
use kamaitachi_layers::{body::Body, hedge, retry::HandedBack};
use pin_project_lite::pin_project;
use tokio::net::{TcpStream, lookup_host};
use tower::BoxError;

use super::{
    body::UpstreamBody,
    client::Kind,
    conn::Conn,
    deadline::Deadline,
    error::{UpstreamError, is_exhausted},
    node::Node,
    request::{self, Framing},
    response::{self, Progress},
    target::{Lease, Target},
    upload::Upload,
};

/// Marks an answer 503 with which a node says that it did nothing with the request and will do nothing with others for
/// now: `starting`, `draining`, or `behind` (for this request alone).
pub const X_KAMAITACHI_UNAVAILABLE: HeaderName =
    HeaderName::from_static("x-kamaitachi-unavailable");

/// Bodies up to this many bytes are copied behind their head, so that a plain write sends both.
const COPIED: usize = 4 * 1024;

/// The future of an [`Endpoint`](super::Endpoint).
///
/// Cancel safety: dropping it closes the connection it uses, so that the upstream can stop working.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<B> {
    // Futures are moved by every layer around them, and this one holds the whole request.
    exchange: Pin<Box<Exchange<B>>>,
}

impl<B> ResponseFuture<B> {
    pub(super) fn new(target: Rc<Target>, request: Request<Body<B>>, kind: Kind) -> Self {
        let (head, body) = request.into_parts();
        let state = State::New;
        Self { exchange: Box::pin(Exchange { target, head: Some(head), body, kind, state }) }
    }
}

impl<B> Future for ResponseFuture<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<UpstreamBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.exchange.as_mut().poll(cx);
        if polled.is_pending() && hedge::is_wanted() {
            self.exchange.offer();
        }
        polled
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.exchange.state {
            State::New => "new",
            State::Connecting(_) => "connecting",
            State::Exchanging { .. } => "exchanging",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("node", self.exchange.target.node.name())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

pin_project! {
    struct Exchange<B> {
        target: Rc<Target>,
        // Kept until the answer begins, for another try here or on another node. Then its fields make room for those of
        // the answer.
        head: Option<Parts>,
        #[pin]
        body: Body<B>,
        kind: Kind,
        state: State,
    }
}

enum State {
    New,
    Connecting(Box<Connecting>),
    Exchanging { lease: Lease, upload: Upload, is_sent: bool, progress: Progress },
    Done,
}

struct Connecting {
    lease: Lease,
    connect: Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>,
    deadline: Deadline,
}

async fn connect(node: Arc<Node>) -> io::Result<TcpStream> {
    let stream = match node.address() {
        Some(address) => TcpStream::connect(address).await?,
        None => connect_by_name(node.name()).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tries the addresses of `name`, one after the other.
async fn connect_by_name(name: &str) -> io::Result<TcpStream> {
    let mut why: Option<io::Error> = None;
    for address in lookup_host(name).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            // Of several, one that speaks of the node: that this machine has no IPv6 says nothing.
            Err(error) if why.as_ref().is_none_or(is_exhausted) => why = Some(error),
            Err(_) => {}
        }
    }
    Err(why.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

impl Connecting {
    fn new(lease: Lease) -> Box<Self> {
        let deadline = lease.target.shared.clock.deadline();
        deadline.set(lease.target.shared.connect);
        let connect = Box::pin(connect(Arc::clone(&lease.target.node)));
        Box::new(Self { lease, connect, deadline })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, UpstreamError>> {
        if let Poll::Ready(connected) = self.connect.as_mut().poll(cx) {
            return Poll::Ready(connected.map_err(UpstreamError::connecting));
        }
        if self.deadline.is_over(cx) {
            let after = self.lease.target.shared.settings.connect_timeout;
            return Poll::Ready(Err(UpstreamError::ConnectTimedOut(after)));
        }
        Poll::Pending
    }
}

impl<B> Future for Exchange<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<UpstreamBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            match this.state {
                State::New => match this.target.lease() {
                    Ok(lease) if lease.is_connected() => self.as_mut().begin(lease)?,
                    Ok(lease) => *this.state = State::Connecting(Connecting::new(lease)),
                    Err(error) => return Poll::Ready(Err(self.give_up(error, true))),
                },
                State::Connecting(connecting) => {
                    let connected = ready!(connecting.poll(cx));
                    self.as_mut().connected(connected)?;
                }
                State::Exchanging { .. } => {
                    let result = ready!(self.as_mut().poll_answer(cx));
                    if let Some(result) = self.as_mut().settle(result) {
                        return Poll::Ready(result);
                    }
                }
                State::Done => panic!("polled after it was ready"),
            }
        }
    }
}

/// The head of an answer.
struct Answered {
    head: response::Head,
    /// Whether the request is whole still, fields and all.
    has_request: bool,
}

/// Why an exchange ended without the head of an answer.
struct Broken {
    error: UpstreamError,
    /// What came before the end of the connection, if that was it.
    cut_after: Option<Came>,
}

/// How much of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nothing,
    PartOfHead,
}

impl Broken {
    fn of(error: impl Into<UpstreamError>) -> Self {
        Self { error: error.into(), cut_after: None }
    }
}

impl<B> Exchange<B> {
    /// Hands in a copy of the request, if doing it twice does no harm and it is whole.
    fn offer(&self) {
        let head = self.head.as_ref().filter(|_| self.kind.is_read);
        hedge::offer(|| Some(Request::from_parts(head?.clone(), self.body.bytes()?.clone())));
    }
}

impl<B> Exchange<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    fn connected(
        mut self: Pin<&mut Self>,
        connected: Result<TcpStream, UpstreamError>,
    ) -> Result<(), BoxError> {
        let this = self.as_mut().project();
        let State::Connecting(connecting) = std::mem::replace(this.state, State::Done) else {
            return Ok(());
        };
        let Connecting { mut lease, deadline, .. } = *connecting;
        match connected {
            Ok(stream) => {
                lease.connected(Conn::new(stream, deadline));
                self.begin(lease)
            }
            Err(error) => {
                drop(lease);
                if error.is_nodes_fault() && !this.kind.is_apart {
                    this.target.node.failed();
                }
                Err(self.give_up(error, true))
            }
        }
    }

    /// Sends what can be sent at once.
    fn begin(mut self: Pin<&mut Self>, mut lease: Lease) -> Result<(), BoxError> {
        let this = self.as_mut().project();
        let Some(head) = this.head else { return Ok(()) };
        let shared = &this.target.shared;
        let framing = Framing::of(head, &this.body);
        let mut scratch = shared.scratch.borrow_mut();
        scratch.clear();
        if let Err(error) =
            request::write_head(&mut scratch, head, framing, this.target.node.name())
        {
            drop(scratch);
            return Err(self.give_up(error, false));
        }
        let (upload, beside) = match this.body.bytes() {
            Some(bytes) if bytes.len() <= COPIED => {
                scratch.extend_from_slice(bytes);
                (Upload::Given, Bytes::new())
            }
            Some(bytes) => (Upload::Given, bytes.clone()),
            None => (Upload::of(framing), Bytes::new()),
        };
        let conn = lease.conn();
        conn.deadline.set(shared.head);
        let (upload, is_sent) = match conn.begin(&scratch, beside) {
            Ok(written) => (upload, written > 0),
            Err(error) => (Upload::Broken(error), false),
        };
        *this.state = State::Exchanging { lease, upload, is_sent, progress: Progress::default() };
        Ok(())
    }

    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answered, Broken>> {
        let this = self.project();
        let (State::Exchanging { lease, upload, is_sent, progress }, Some(head)) =
            (this.state, this.head)
        else {
            return Poll::Pending;
        };
        let shared = &this.target.shared;
        let conn = lease.conn();
        if !upload.is_over(conn) {
            *is_sent = true;
            // Pending or not, there may be an answer already.
            if let Poll::Ready(Err(error)) = upload.poll(conn, this.body, shared.head, cx) {
                return Poll::Ready(Err(Broken::of(error)));
            }
        }
        loop {
            let error = match conn.poll_fill(cx, false) {
                Poll::Ready(Ok(0)) => None,
                Poll::Ready(Ok(_)) => {
                    // After such an answer the request may have to go elsewhere, so its fields are left alone.
                    let has_request = is_503(&conn.input);
                    let mut fields = HeaderMap::new();
                    match shared.parser.parse(
                        &mut conn.input,
                        &head.method,
                        progress,
                        if has_request { &mut fields } else { &mut head.headers },
                        &mut this.target.memo.borrow_mut(),
                    ) {
                        Ok(None) => continue,
                        Ok(Some(head)) => return Poll::Ready(Ok(Answered { head, has_request })),
                        Err(error) => return Poll::Ready(Err(Broken::of(error))),
                    }
                }
                Poll::Ready(Err(error)) => Some(error),
                Poll::Pending if conn.deadline.is_over(cx) => {
                    let after = shared.settings.head_timeout;
                    return Poll::Ready(Err(Broken::of(UpstreamError::TimedOut(after))));
                }
                Poll::Pending => return Poll::Pending,
            };
            let is_begun = !conn.input.is_empty() || progress.is_begun();
            let came = if is_begun { Came::PartOfHead } else { Came::Nothing };
            let error = match (came, error) {
                (Came::Nothing, error) => {
                    UpstreamError::ClosedBeforeResponse(upload.take_error().or(error))
                }
                (Came::PartOfHead, Some(error)) => UpstreamError::Read(error),
                (Came::PartOfHead, None) => UpstreamError::Truncated,
            };
            return Poll::Ready(Err(Broken { error, cut_after: Some(came) }));
        }
    }

    /// Ends the exchange, with a response or an error; or not, if it is to be tried again.
    fn settle(
        mut self: Pin<&mut Self>,
        result: Result<Answered, Broken>,
    ) -> Option<Result<Response<UpstreamBody>, BoxError>> {
        let this = self.as_mut().project();
        let State::Exchanging { mut lease, upload, is_sent, .. } =
            std::mem::replace(this.state, State::Done)
        else {
            return None;
        };
        let Broken { error, cut_after } = match result {
            Ok(Answered {
                head: response::Head { response, framing, is_reusable },
                has_request,
            }) => {
                if !this.kind.is_apart {
                    this.target.node.health().answered();
                }
                // What answered before it had the whole request would take the rest for the next one.
                let is_reusable = is_reusable && upload.is_given(lease.conn());
                let mut response =
                    response.map(|()| UpstreamBody::new(lease, framing, is_reusable));
                if !has_request && let Some(mut head) = this.head.take() {
                    // As with its fields: what was noted goes, and the room for it is used again.
                    head.extensions.clear();
                    *response.extensions_mut() = head.extensions;
                }
                return Some(if has_request && this.kind.is_read && is_unavailable(&response) {
                    self.unavailable(response)
                } else {
                    Ok(response)
                });
            }
            Err(broken) => broken,
        };
        let in_silence = cut_after == Some(Came::Nothing);
        // Nobody acted on it, or doing it twice does no harm; and nothing of it is lost.
        let is_harmless =
            if this.kind.is_read { cut_after.is_some() } else { in_silence && !is_sent };
        let can_repeat = is_harmless && this.body.bytes().is_some();
        // A server may close a connection that was kept whenever it likes.
        let is_stale = in_silence && lease.is_reused;
        if can_repeat && is_stale {
            lease.replace();
            *this.state = State::Connecting(Connecting::new(lease));
            return None;
        }
        let is_nodes_fault = error.is_nodes_fault() || cut_after.is_some();
        if is_nodes_fault && !is_stale && !this.kind.is_apart {
            this.target.node.failed();
        }
        lease.fail();
        Some(Err(self.give_up(error, can_repeat)))
    }

    /// Gives the request back with the answer of a node that did nothing with it; or that answer as any other where
    /// it is not at hand.
    fn unavailable(
        self: Pin<&mut Self>,
        response: Response<UpstreamBody>,
    ) -> Result<Response<UpstreamBody>, BoxError> {
        let is_about_node =
            response.headers().get(X_KAMAITACHI_UNAVAILABLE).is_some_and(|why| why != "behind");
        let (head, body) = response.into_parts();
        let body = match body.into_whole() {
            Ok(bytes) if self.body.bytes().is_some() => bytes,
            Ok(bytes) => return Ok(Response::from_parts(head, bytes.into())),
            Err(body) => return Ok(Response::from_parts(head, body)),
        };
        if is_about_node && !self.kind.is_apart {
            self.target.node.refused();
        }
        let answer = Box::new(Response::from_parts(head, body));
        Err(self.give_up(UpstreamError::Unavailable(answer), true))
    }

    /// The error, with the request if it can be tried elsewhere.
    fn give_up(self: Pin<&mut Self>, error: UpstreamError, can_repeat: bool) -> BoxError {
        let this = self.project();
        *this.state = State::Done;
        match (this.head.take(), this.body.bytes()) {
            (Some(head), Some(bytes)) if can_repeat => {
                HandedBack::new(Request::from_parts(head, bytes.clone()), error).into()
            }
            _ => error.into(),
        }
    }
}

/// Whether an answer that begins like this has the status 503.
fn is_503(input: &[u8]) -> bool {
    input.get(9..12) == Some(b"503")
}

/// Whether the node says of itself that it is not there for requests.
fn is_unavailable<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE
        && response.headers().contains_key(X_KAMAITACHI_UNAVAILABLE)
}
