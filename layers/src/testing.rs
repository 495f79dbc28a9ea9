//! What the tests of several layers need: bodies in pieces, and inner services that misbehave.
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tower::BoxError;

/// What a [`Pieces`] body does at one poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// Yields this data.
    Data(&'static [u8]),
    /// Is pending once, and wakes at once.
    Wait,
    /// Is pending for ever.
    Never,
    /// Fails with the error `broken`.
    Broken,
}

/// A streaming body that does as it is told.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<Piece>,
    announced: Option<u64>,
}

impl Pieces {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self { pieces: pieces.into_iter().collect(), announced: None }
    }

    pub(crate) fn announcing(mut self, length: u64) -> Self {
        self.announced = Some(length);
        self
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.pieces.pop_front() {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data))))),
            Some(Piece::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Never) => {
                self.pieces.push_front(Piece::Never);
                Poll::Pending
            }
            Some(Piece::Broken) => Poll::Ready(Some(Err("broken".into()))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
