//! One connection, from its first byte to its last.

use std::{cell::RefCell, future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tower::{BoxError, Service};
use tracing::debug;

use super::{
    Connection, Incoming,
    io::Io,
    service::{Adapter, Source},
    state::State,
    worker::Shared,
};
use crate::{
    framing::{FramingGuard, FramingLimits},
    limits::{Limits, Phase},
    refusal::Refusal,
};

/// What an HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long and how much is read from a client whose message was cut, so that the answer is not
/// lost to a reset.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 20);
/// How long a client may take to agree that its HTTP/2 connection is over, in milliseconds.
const GOODBYE: u64 = 1_000;

/// Runs hyper's tasks on the worker's thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnWorker;

impl<Fut: Future<Output: 'static> + 'static> hyper::rt::Executor<Fut> for OnWorker {
    fn execute(&self, future: Fut) {
        tokio::task::spawn_local(future);
    }
}

/// The protocols as they are spoken on every connection.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<OnWorker>,
    framing: FramingLimits,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // A client may end its side and still read; and no read is tried while it waits.
            .half_close(true)
            // Head and body of an answer are copied together and sent by a plain write, which takes the kernel less than
            // collecting them does.
            .writev(false)
            // Ours follows a clock that is set back.
            .auto_date_header(false)
            // The sweep keeps the time.
            .header_read_timeout(None)
            // What passes the guard always fits.
            .max_buf_size((limits.head_bytes + 1024).max(64 * 1024));
        if limits.headers != Limits::default().headers {
            http1.max_headers(limits.headers);
        }
        let own = &limits.http2;
        let mut http2 = http2::Builder::new(OnWorker);
        http2
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .max_concurrent_streams(own.concurrent_streams)
            .initial_stream_window_size(own.stream_window)
            .initial_connection_window_size(own.connection_window)
            .max_header_list_size(own.header_list_bytes)
            .max_send_buf_size(own.send_buffer)
            .max_pending_accept_reset_streams(own.pending_accept_resets)
            .max_local_error_reset_streams(own.local_error_resets)
            .keep_alive_interval(own.ping_every)
            .keep_alive_timeout(own.ping_timeout);
        Self { http1, http2, framing: FramingLimits::from(limits) }
    }
}

enum Protocol {
    Http1,
    Http2,
    /// The client left, or was too slow to say anything.
    Gone,
}

/// Serves one connection until either side ends it.
pub(super) async fn serve<F, S, B>(
    stream: tokio::net::TcpStream,
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
    let mut io = Io::new(stream, Rc::clone(shared), Rc::clone(state));
    match detect(&mut io).await {
        Protocol::Http1 => http1(io, about, make, shared, state).await,
        Protocol::Http2 => http2(io, about, make, shared, state).await,
        Protocol::Gone => close(io).await,
    }
}

/// Tells the protocol from the first bytes.
async fn detect(io: &mut Io) -> Protocol {
    loop {
        match poll_fn(|cx| io.poll_peek(cx)).await {
            Ok(0) | Err(_) => return Protocol::Gone,
            Ok(_) => {}
        }
        let seen = io.peeked();
        if seen.starts_with(PREFACE) {
            return Protocol::Http2;
        }
        if !PREFACE.starts_with(seen) {
            return Protocol::Http1;
        }
    }
}

async fn http1<F, S, B>(
    mut io: Io,
    about: Connection,
    make: &Rc<F>,
    shared: &Rc<Shared>,
    state: &Rc<State>,
) where
    F: Fn(Connection) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    io.guard(FramingGuard::new(shared.protocols.framing));
    let service = Adapter {
        source: Source::<S, fn() -> S>::Kept(Rc::new(RefCell::new(make(about))), Rc::default()),
        shared: Rc::clone(shared),
        state: Rc::clone(state),
    };
    let mut connection = shared.protocols.http1.serve_connection(io, service);
    if let Err(error) = (&mut connection).await {
        debug!(peer = %about.peer, %error, "connection ended");
    }
    close(connection.into_parts().io).await;
}

async fn http2<F, S, B>(
    mut io: Io,
    about: Connection,
    make: &Rc<F>,
    shared: &Rc<Shared>,
    state: &Rc<State>,
) where
    F: Fn(Connection) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    state.multiplex(shared.clock.now());
    io.open();
    let make = Rc::clone(make);
    let service = Adapter {
        source: Source::Made(move || make(about)),
        shared: Rc::clone(shared),
        state: Rc::clone(state),
    };
    let mut connection = pin!(shared.protocols.http2.serve_connection(io, service));
    let mut told = None;
    let ended = poll_fn(|cx| {
        let now = shared.clock.now();
        if let Some(Phase::Body | Phase::Write) = state.overdue() {
            return Poll::Ready(Err(None));
        }
        if told.is_none() && (shared.draining() || state.overdue().is_some()) {
            told = Some(now);
            connection.as_mut().graceful_shutdown();
        }
        let poll = connection.as_mut().poll(cx).map(|ended| ended.map_err(Some));
        let unanswered = told.is_some_and(|told| now.saturating_sub(told) >= GOODBYE);
        if poll.is_pending() && unanswered && state.in_flight() == 0 {
            return Poll::Ready(Err(None));
        }
        poll
    });
    if let Err(Some(error)) = ended.await {
        debug!(peer = %about.peer, %error, "connection ended");
    }
}

/// Says what is left to say, ends our side, and waits a little for the client to end its own
/// where bytes of a cut message may be on their way: closing on them would reset the connection
/// and could take the answer with it.
async fn close(mut io: Io) {
    let cut = io.mid_message();
    let refusal = io.take_refusal();
    let goodbye = async {
        if let Some(refusal) = refusal.as_ref().map(Refusal::render) {
            io.stream.write_all(&refusal).await?;
        }
        io.stream.shutdown().await?;
        let mut waste = [0; 4096];
        let mut left = LINGER.1;
        while cut && !io.ended && left > 0 {
            match io.stream.read(&mut waste).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        std::io::Result::Ok(())
    };
    // The client may be gone already; then there is nobody to tell.
    let _ = timeout(LINGER.0, goodbye).await;
}
