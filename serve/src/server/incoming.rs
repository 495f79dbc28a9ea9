//! Bodies of requests.

use std::{
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{http1::Coming, requests::Request, upload::Streamed};
use crate::framing::Violation;

/// The body of a request.
///
/// It may be read, or dropped at any point: that costs the client nothing but the answer to a very
/// large body being the last on its connection. On HTTP/1 the next request stands behind the body, so what the service
/// leaves of it is read past.
pub struct Incoming {
    kind: Kind,
}

enum Kind {
    /// In memory; empty once it was given.
    Whole(Bytes),
    /// Read from an HTTP/1 connection.
    Coming(Coming),
    /// A stream of an HTTP/2 connection.
    Stream(Streamed),
}

/// Why a request's body ended before it was whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenBody {
    /// The client ended the connection within it.
    #[error("the client ended its connection within the body")]
    Cut,
    /// The client did not frame it as it has to be.
    #[error("malformed body: {0}")]
    Malformed(#[source] Violation),
    /// The client was too slow.
    #[error("the body did not come in time")]
    TimedOut,
    /// The connection failed.
    #[error("cannot read the body")]
    Read(#[source] io::Error),
    /// It was asked for after it had failed, or after its connection went on or ended.
    #[error("the body's connection has ended")]
    Gone,
    /// The stream failed, or its client reset it.
    #[error("the body's stream ended early")]
    Stream(#[source] hyper::Error),
}

impl Incoming {
    /// A body that came with its head, or is not there.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole(bytes) }
    }

    pub(super) fn coming(coming: Coming) -> Self {
        Self { kind: Kind::Coming(coming) }
    }

    pub(super) fn stream(body: hyper::body::Incoming, request: Rc<Request>) -> Self {
        Self { kind: Kind::Stream(Streamed::new(body, request)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match &mut self.kind {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Coming(coming) => coming.poll_frame(cx),
            Kind::Stream(stream) => stream.poll_frame(cx),
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let frame = ready!(self.poll(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.kind = Kind::Whole(Bytes::new());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Coming(coming) => coming.is_end_stream(),
            Kind::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Coming(coming) => coming.size_hint(),
            Kind::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
