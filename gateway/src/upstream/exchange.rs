//! One request and the head of its answer.
use std::{
    fmt, io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use kamaitachi_layers::{body::Body, retry::HandedBack};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tower::BoxError;

use super::{
    body::UpstreamBody,
    conn::Conn,
    deadline::Deadline,
    error::UpstreamError,
    node::Node,
    request::{self, Framing},
    response::{self, Progress},
    target::{Lease, Target},
    upload::Upload,
};

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
    pub(super) fn new(target: Rc<Target>, request: Request<Body<B>>, is_read: bool) -> Self {
        let (head, body) = request.into_parts();
        let state = State::New;
        Self { exchange: Box::pin(Exchange { target, head: Some(head), body, is_read, state }) }
    }
}

impl<B> Future for ResponseFuture<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<UpstreamBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.exchange.as_mut().poll(cx)
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
        is_read: bool,
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
        None => TcpStream::connect(&**node.name()).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
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
            return Poll::Ready(connected.map_err(UpstreamError::Connect));
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

/// Why an exchange ended without the head of an answer.
struct Broken {
    error: UpstreamError,
    /// Whether not a byte of an answer came.
    in_silence: bool,
}

impl Broken {
    fn of(error: impl Into<UpstreamError>) -> Self {
        Self { error: error.into(), in_silence: false }
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
                this.target.node.failed();
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

    fn poll_answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<response::Head, Broken>> {
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
                    match shared.parser.parse(
                        &mut conn.input,
                        &head.method,
                        progress,
                        &mut head.headers,
                        &mut this.target.memo.borrow_mut(),
                    ) {
                        Ok(None) => continue,
                        Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
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
            let in_silence = conn.input.is_empty() && !progress.is_begun();
            let error = match error {
                error if in_silence => {
                    UpstreamError::ClosedBeforeResponse(upload.take_error().or(error))
                }
                Some(error) => UpstreamError::Read(error),
                None => UpstreamError::Truncated,
            };
            return Poll::Ready(Err(Broken { error, in_silence }));
        }
    }

    /// Ends the exchange, with a response or an error; or not, if it is to be tried again.
    fn settle(
        mut self: Pin<&mut Self>,
        result: Result<response::Head, Broken>,
    ) -> Option<Result<Response<UpstreamBody>, BoxError>> {
        let this = self.as_mut().project();
        let State::Exchanging { mut lease, upload, is_sent, .. } =
            std::mem::replace(this.state, State::Done)
        else {
            return None;
        };
        let Broken { error, in_silence } = match result {
            Ok(response::Head { response, framing, is_reusable }) => {
                this.target.node.health().answered();
                // What answered before it had the whole request would take the rest for the next one.
                let is_reusable = is_reusable && upload.is_given(lease.conn());
                return Some(Ok(response.map(|()| UpstreamBody::new(lease, framing, is_reusable))));
            }
            Err(broken) => broken,
        };
        // Nobody acted on it, or doing it twice does no harm; and nothing of it is lost.
        let can_repeat = in_silence && (*this.is_read || !is_sent) && this.body.bytes().is_some();
        if can_repeat && lease.is_reused {
            lease.replace();
            *this.state = State::Connecting(Connecting::new(lease));
            return None;
        }
        // A server may close a connection that was kept whenever it likes.
        if error.is_nodes_fault() && !(in_silence && lease.is_reused) {
            this.target.node.failed();
        }
        lease.fail();
        Some(Err(self.give_up(error, can_repeat)))
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
