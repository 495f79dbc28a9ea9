//! A body that is either still streaming or held in memory, so that one that was read can be forwarded as it came.
//!
//! ```
//! use bytes::Bytes;
//! use http_body::Body as _;
//! use kamaitachi_layers::body::{Body, collect};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//!
//! let incoming = Body::<http_body_util::Empty<Bytes>>::buffered(Bytes::from_static(b"{}"));
//! let bytes = collect(incoming, 1024).await.expect("two bytes are not more than 1024");
//! let body = Body::<http_body_util::Empty<Bytes>>::buffered(bytes);
//! assert_eq!(body.size_hint().exact(), Some(2));
//! assert_eq!(body.try_clone().expect("it is in memory").bytes().unwrap(), "{}");
//! # }
//! ```
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::rejection::Rejection;

pin_project! {
    /// A body that is streaming (a `B`), buffered, or empty.
    ///
    /// A buffered one knows its exact size, is sent in one frame and can be cloned at the cost of a reference count.
    /// Trailers are passed on by a streaming body only.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        // Empty when `bytes` is.
        Buffered { bytes: Bytes },
        Streaming { #[pin] body: B },
    }
}

impl<B> Body<B> {
    /// A body without content.
    #[must_use]
    pub const fn empty() -> Self {
        Self::buffered(Bytes::new())
    }

    /// A body that is wholly in memory.
    #[must_use]
    pub const fn buffered(bytes: Bytes) -> Self {
        Self { kind: Kind::Buffered { bytes } }
    }

    /// A body that is read as it comes.
    #[must_use]
    pub const fn streaming(body: B) -> Self {
        Self { kind: Kind::Streaming { body } }
    }

    /// What is left of it, if that is in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Buffered { bytes } => Some(bytes),
            Kind::Streaming { .. } => None,
        }
    }

    /// A second body with the same content, or `None` while it is streaming.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        self.bytes().cloned().map(Self::buffered)
    }
}

impl<B> Default for Body<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> From<Bytes> for Body<B> {
    fn from(bytes: Bytes) -> Self {
        Self::buffered(bytes)
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Buffered { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProj::Buffered { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            KindProj::Streaming { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Buffered { bytes } => bytes.is_empty(),
            Kind::Streaming { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Buffered { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Streaming { body } => body.size_hint(),
        }
    }
}

/// Reads `body` whole, up to `limit` bytes.
///
/// A body that comes in one piece is not copied. Trailers are dropped. Memory grows with what has arrived, never
/// with what the sender announced.
///
/// # Errors
///
/// [`Rejection::BodyTooLarge`] as soon as it is known to be longer than `limit`, [`Rejection::BodyUnreadable`] when
/// it breaks off.
///
/// Cancel safety: dropping the future drops the body with what was read of it.
pub fn collect<B>(body: B, limit: usize) -> Collect<B> {
    Collect { body, limit, only: Bytes::new(), joined: BytesMut::new() }
}

pin_project! {
    /// The future of [`collect`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Collect<B> {
        #[pin]
        body: B,
        limit: usize,
        // The content so far: `only` while it is one piece, `joined` from the second on.
        only: Bytes,
        joined: BytesMut,
    }
}

impl<B> Future for Collect<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Bytes, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let limit = *this.limit;
        let too_large = Rejection::BodyTooLarge { limit: limit as u64 };
        let (only, joined) = (this.only, this.joined);
        let mut held = only.len() + joined.len();
        if this.body.size_hint().lower() > (limit - held.min(limit)) as u64 {
            return Poll::Ready(Err(too_large));
        }
        while !this.body.is_end_stream() {
            let Some(frame) = ready!(this.body.as_mut().poll_frame(cx)) else { break };
            let frame = frame.map_err(|error| Rejection::BodyUnreadable(error.into()))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > limit - held {
                return Poll::Ready(Err(too_large));
            }
            held += data.len();
            if held == data.len() {
                *only = data;
            } else {
                joined.extend_from_slice(&std::mem::take(only));
                joined.extend_from_slice(&data);
            }
        }
        let whole =
            if joined.is_empty() { std::mem::take(only) } else { std::mem::take(joined).freeze() };
        Poll::Ready(Ok(whole))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use tokio_test::{assert_pending, assert_ready, block_on, task};

    use super::*;
    use crate::testing::{Piece, Pieces};

    fn whole(body: Body<Pieces>) -> Bytes {
        block_on(body.collect()).expect("in memory").to_bytes()
    }

    #[test]
    fn a_buffered_body_is_sent_once_and_knows_its_length() {
        let body = Body::buffered(Bytes::from_static(b"abc"));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        let copy = body.try_clone().unwrap();
        assert_eq!(whole(body), "abc");
        assert_eq!(whole(copy), "abc");
        assert!(Body::<Pieces>::empty().is_end_stream());
    }

    #[test]
    fn a_streaming_body_cannot_be_cloned_and_keeps_its_errors() {
        let body = Body::streaming(Pieces::new([Piece::Data(b"a"), Piece::Broken]));
        assert!(body.try_clone().is_none());
        assert_eq!(block_on(body.collect()).unwrap_err().to_string(), "broken");
    }

    #[test]
    fn one_piece_is_not_copied() {
        let content = Bytes::from(vec![7; 100]);
        let collected = block_on(collect(Body::<Pieces>::buffered(content.clone()), 100)).unwrap();
        assert_eq!(collected.as_ptr(), content.as_ptr());
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_before_anything_is_read() {
        let body = Pieces::new([Piece::Never]).announcing(101);
        let refused = block_on(collect(body, 100)).unwrap_err();
        assert!(matches!(refused, Rejection::BodyTooLarge { limit: 100 }));
    }

    #[test]
    fn a_broken_body_is_not_taken_for_a_whole_one() {
        let refused =
            block_on(collect(Pieces::new([Piece::Data(b"ab"), Piece::Broken]), 100)).unwrap_err();
        assert!(matches!(refused, Rejection::BodyUnreadable(_)));
    }

    #[test]
    fn goes_on_where_it_waited() {
        let pieces = [Piece::Data(b"ab"), Piece::Wait, Piece::Data(b"cd"), Piece::Wait];
        let mut collecting = task::spawn(collect(Pieces::new(pieces), 4));
        assert_pending!(collecting.poll());
        assert_pending!(collecting.poll());
        assert_eq!(assert_ready!(collecting.poll()).unwrap(), "abcd");
    }

    proptest! {
        #[test]
        fn collects_the_concatenation_or_says_too_large(
            cuts in prop::collection::vec(0_usize..40, 0..6),
            limit in 0_usize..120,
        ) {
            let pieces: Vec<&'static [u8]> =
                cuts.iter().map(|&cut| &b"0123456789012345678901234567890123456789"[..cut]).collect();
            let expected = pieces.concat();
            let body = Pieces::new(pieces.into_iter().map(Piece::Data));
            match block_on(collect(body, limit)) {
                Ok(bytes) => prop_assert_eq!(bytes, expected),
                Err(_) => prop_assert!(expected.len() > limit),
            }
        }
    }
}
