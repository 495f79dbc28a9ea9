//! One connection, from its first byte to its last.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tower::{BoxError, Service};
use tracing::debug;

use super::{
    Connection, Incoming, head, http1,
    io::Io,
    peek::{Peek, Peeking},
    requests::{Requests, Serving},
    service::Adapter,
    state::State,
    worker::Shared,
};
use crate::{
    framing::FramingLimits,
    limits::{Http2Limits, Limits, Phase},
};

/// What an HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client may take to agree that its HTTP/2 connection is over, in milliseconds.
const GOODBYE: u64 = 1_000;
/// How long a client may send nothing after the end of our side.
const QUIET: Duration = Duration::from_secs(1);

/// Runs hyper's tasks on the worker's thread, each for as long as the client of its request is not too slow.
#[derive(Clone, Debug)]
pub(super) struct OnWorker(Rc<Requests>);

impl<Fut: Future<Output: 'static> + 'static> hyper::rt::Executor<Fut> for OnWorker {
    fn execute(&self, future: Fut) {
        tokio::task::spawn_local(Serving::new(future, self.0.take_begun()));
    }
}

/// The protocols as they are spoken on every connection.
pub(super) struct Protocols {
    pub(super) framing: FramingLimits,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { framing: FramingLimits::from(limits) }
    }
}

/// How HTTP/2 is spoken on a connection with these `requests`.
fn speak(
    limits: &Http2Limits,
    framing: &FramingLimits,
    requests: &Rc<Requests>,
) -> http2::Builder<OnWorker> {
    let mut http2 = http2::Builder::new(OnWorker(Rc::clone(requests)));
    http2
        // Ours follows a clock that is set back.
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.concurrent_streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_header_list_size(head::list_size(framing))
        .max_send_buf_size(limits.send_buffer)
        .max_pending_accept_reset_streams(limits.pending_accept_resets)
        .max_local_error_reset_streams(limits.local_error_resets)
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_timeout);
    http2
}

enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection until either side ends it.
pub(super) async fn serve<F, S, B>(
    stream: TcpStream,
    about: Connection,
    make: &Rc<F>,
    shared: &Rc<Shared>,
    state: &Rc<State>,
) where
    F: Fn(Connection) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    poll_fn(|cx| {
        state.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut peeking = Peeking::new(stream, Rc::clone(shared), Rc::clone(state));
    let protocol = detect(&mut peeking).await;
    let (stream, held) = peeking.into_parts();
    match protocol {
        Protocol::Http1 => http1::serve(stream, held, make(about), about, shared, state).await,
        Protocol::Http2 => {
            let stream = Rc::new(RefCell::new(stream));
            if http2(&stream, held, about, make, shared, state).await {
                close(&stream, shared).await;
            }
        }
    }
}

/// Tells the protocol from the first bytes. Who says nothing in time speaks HTTP/1, and is told so in that.
async fn detect(peeking: &mut Peeking) -> Protocol {
    loop {
        if poll_fn(|cx| peeking.poll_peek(cx)).await == Peek::Over {
            return Protocol::Http1;
        }
        let seen = peeking.peeked();
        if seen.starts_with(PREFACE) {
            return Protocol::Http2;
        }
        if !PREFACE.starts_with(seen) {
            return Protocol::Http1;
        }
    }
}

/// Speaks HTTP/2 until either side ends it, or the client stands still; tells whether the client may still be listening.
async fn http2<F, S, B>(
    stream: &Rc<RefCell<TcpStream>>,
    held: Vec<u8>,
    about: Connection,
    make: &Rc<F>,
    shared: &Rc<Shared>,
    state: &Rc<State>,
) -> bool
where
    F: Fn(Connection) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    let own = &shared.limits.http2;
    let requests = state.multiplex(own.send_buffer, shared.clock.now());
    let io = Io::new(Rc::clone(stream), held, Rc::clone(shared), Rc::clone(state));
    let (make, http2) = (Rc::clone(make), speak(own, &shared.protocols.framing, &requests));
    let (shared_too, state_too) = (Rc::clone(shared), Rc::clone(state));
    let make = move || make(about);
    let service = Adapter { make, shared: shared_too, state: state_too, requests };
    let mut connection = pin!(http2.serve_connection(io, service));
    let mut told = None;
    let ended = poll_fn(|cx| {
        let now = shared.clock.now();
        if told.is_none() && (shared.draining() || state.overdue() == Some(Phase::Idle)) {
            told = Some(now);
            connection.as_mut().graceful_shutdown();
        }
        let poll = connection.as_mut().poll(cx).map(|ended| ended.map_err(Some));
        let unanswered = told.is_some_and(|told| now.saturating_sub(told) >= GOODBYE);
        let is_over = unanswered && state.open_streams() == 0;
        if poll.is_pending() && (is_over || state.overdue() == Some(Phase::Write)) {
            return Poll::Ready(Err(None));
        }
        poll
    });
    if let Err(Some(error)) = ended.await {
        debug!(peer = %about.peer, %error, "connection ended");
    }
    state.overdue() != Some(Phase::Write)
}

/// Ends our side, and waits for the client to end its own: its windows are updated for as long as it reads, and closing
/// on that would reset the connection and take along what it has not read yet.
async fn close(stream: &RefCell<TcpStream>, shared: &Shared) {
    let goodbye = async {
        poll_fn(|cx| Pin::new(&mut *stream.borrow_mut()).poll_shutdown(cx)).await?;
        let mut read = |cx: &mut Context<'_>| {
            let mut scratch = shared.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            let poll = Pin::new(&mut *stream.borrow_mut()).poll_read(cx, &mut buffer);
            poll.map_ok(|()| buffer.filled().len())
        };
        while timeout(QUIET, poll_fn(&mut read)).await?? > 0 {}
        std::io::Result::Ok(())
    };
    // The client may be gone already; then there is nothing to wait for.
    let _ = timeout(shared.limits.write_timeout, goodbye).await;
}
