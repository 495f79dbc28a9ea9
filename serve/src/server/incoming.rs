//! Bodies of requests, and what becomes of one that the service did not read to its end.
//!
//! On HTTP/1 the next request stands behind the body. If it is not read, the connection can only
//! close, and a client that saw nothing wrong in its answer loses its next request. So what a
//! service leaves of a body goes back to the connection, which reads past it.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How much of a body is read past, in bytes. A larger one ends its connection.
const MOST: u64 = 1 << 20;

/// The body of a request.
///
/// It may be read, or dropped at any point: that costs the client nothing but the answer to a very
/// large body being the last on its connection.
pub struct Incoming {
    /// `None` once it has ended or failed.
    body: Option<hyper::body::Incoming>,
    leftover: Option<Rc<Leftover>>,
}

impl Incoming {
    /// The body of a request on a connection that carries many at a time: nothing stands behind it.
    pub(super) fn alone(body: hyper::body::Incoming) -> Self {
        Self { body: Some(body), leftover: None }
    }

    /// The body of a request with others behind it: what is left of it goes to `leftover`.
    pub(super) fn returning(body: hyper::body::Incoming, leftover: Rc<Leftover>) -> Self {
        Self { body: Some(body), leftover: Some(leftover) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let (Some(body), Some(leftover)) = (self.body.take(), &self.leftover)
            && leftover.awaited.get()
            && !body.is_end_stream()
        {
            leftover.body.set(Some(body));
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.body).finish()
    }
}

/// Where a connection finds what the service left of a body.
#[derive(Default)]
pub(super) struct Leftover {
    /// Nobody takes what comes after the answer, so then it is not to come.
    awaited: Cell<bool>,
    body: Cell<Option<hyper::body::Incoming>>,
}

impl Leftover {
    /// A request begins.
    pub(super) fn await_body(&self) {
        self.awaited.set(true);
    }

    /// The service has answered: what it left, if it is done with the body.
    pub(super) fn take(&self) -> Option<Rest> {
        self.awaited.set(false);
        self.body.take().map(|body| Rest { body, left: MOST })
    }
}

/// What is left of a body.
pub(super) struct Rest {
    body: hyper::body::Incoming,
    left: u64,
}

impl Rest {
    /// Reads past it; tells whether the connection can go on. One that is declared too large, or
    /// turns out to be, is not read any further.
    pub(super) fn poll_past(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.body.size_hint().lower() <= self.left {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    self.left = self.left.saturating_sub(length);
                    if self.left == 0 {
                        break;
                    }
                }
                Some(Err(_)) => return Poll::Ready(false),
                None => return Poll::Ready(true),
            }
        }
        Poll::Ready(self.body.is_end_stream())
    }
}
