//! Errors that bring the request back.
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, Bytes};
use http::Request;
use tower::BoxError;

/// An error of a service that did not take the request: it can be sent again without being carried out twice.
///
/// Reads like the error within; that is its [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct HandedBack {
    pub(crate) request: Request<Bytes>,
    #[source]
    pub(crate) source: BoxError,
}

impl HandedBack {
    /// The request as it was, and why it was not taken.
    #[must_use]
    pub fn new(request: Request<Bytes>, source: impl Into<BoxError>) -> Self {
        Self { request, source: source.into() }
    }

    /// The request and the error apart.
    #[must_use]
    pub fn into_parts(self) -> (Request<Bytes>, BoxError) {
        (self.request, self.source)
    }
}

/// `error`, with the request if its body is in memory; without it if that is streaming, and so may be partly read.
pub fn hand_back<B>(request: Request<B>, error: impl Into<BoxError>) -> BoxError
where
    B: http_body::Body,
{
    let (head, body) = request.into_parts();
    match in_memory(body) {
        Some(bytes) => HandedBack::new(Request::from_parts(head, bytes), error).into(),
        None => error.into(),
    }
}

/// The content of a body that has all of it at hand, in one piece.
fn in_memory<B: http_body::Body>(body: B) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut content = Bytes::new();
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(frame))) if content.is_empty() => {
                let mut data = frame.into_data().ok()?;
                content = data.copy_to_bytes(data.remaining());
            }
            Poll::Ready(Some(_)) | Poll::Pending => return None,
        }
    }
    Some(content)
}
