//! The body of an answer.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    chunked::Decoded,
    error::{BadResponse, UpstreamError},
    response::Framing,
    target::Lease,
};

/// The body of an answer: in memory if all of it came with the head, else read as it comes.
///
/// Its connection goes back to the pool at its end; in the first case that was before it was even looked at. Dropping it
/// half-way closes the connection. Whatever ends it early is an error, never a clean end.
#[derive(Debug, Default)]
pub struct UpstreamBody {
    whole: Bytes,
    // Boxed, so that the usual answer is small to move around.
    coming: Option<Box<Coming>>,
}

#[derive(Debug)]
struct Coming {
    lease: Lease,
    framing: Framing,
    is_reusable: bool,
}

impl UpstreamBody {
    /// The body that follows a head on `lease`.
    pub(super) fn new(mut lease: Lease, framing: Framing, is_reusable: bool) -> Self {
        let input = &mut lease.conn().input;
        if let Framing::Length(length) = framing
            && let Ok(length) = usize::try_from(length)
            && length <= input.len()
        {
            let whole = input.split_to(length).freeze();
            lease.finish(is_reusable);
            return Self { whole, coming: None };
        }
        lease.conn().deadline.unset();
        let coming = Coming { lease, framing, is_reusable };
        Self { whole: Bytes::new(), coming: Some(Box::new(coming)) }
    }
}

impl UpstreamBody {
    /// The whole of it, if it has come.
    pub(super) fn into_whole(self) -> Result<Bytes, Self> {
        if self.coming.is_none() { Ok(self.whole) } else { Err(self) }
    }
}

impl From<Bytes> for UpstreamBody {
    fn from(whole: Bytes) -> Self {
        Self { whole, coming: None }
    }
}

impl Coming {
    /// The next piece; empty at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, UpstreamError>> {
        loop {
            if let Some(piece) = self.take_piece()? {
                self.lease.conn().deadline.unset();
                return Poll::Ready(Ok(piece));
            }
            let much = !matches!(self.framing, Framing::Chunked(_));
            match self.lease.conn().poll_fill(cx, much) {
                Poll::Ready(Ok(0)) => return Poll::Ready(self.cut_off()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(UpstreamError::Read(error))),
                // Looked at only when there is nothing to read: a client that takes its time is not the upstream's fault.
                Poll::Pending => {
                    let limit = self.lease.target.shared.body;
                    let deadline = &self.lease.conn().deadline;
                    deadline.set_if_unset(limit);
                    if deadline.is_over(cx) {
                        let after = self.lease.target.shared.settings.body_timeout;
                        return Poll::Ready(Err(UpstreamError::BodyTimedOut(after)));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The next piece of what was read; empty at the end, none if there must be more first.
    fn take_piece(&mut self) -> Result<Option<Bytes>, BadResponse> {
        let input = &mut self.lease.conn().input;
        match &mut self.framing {
            Framing::Length(0) => Ok(Some(Bytes::new())),
            Framing::Length(_) | Framing::Close if input.is_empty() => Ok(None),
            Framing::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                *left -= taken as u64;
                Ok(Some(input.split_to(taken).freeze()))
            }
            Framing::Close => Ok(Some(input.split().freeze())),
            Framing::Chunked(chunked) => match chunked.decode(input)? {
                Decoded::Data(data) => Ok(Some(data)),
                Decoded::More => Ok(None),
                Decoded::End => Ok(Some(Bytes::new())),
            },
        }
    }

    /// What the end of the connection means here.
    fn cut_off(&self) -> Result<Bytes, UpstreamError> {
        match self.framing {
            Framing::Close => Ok(Bytes::new()),
            Framing::Length(_) | Framing::Chunked(_) => Err(UpstreamError::Truncated),
        }
    }

    /// Whether the last piece was taken.
    fn is_ended(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_ended(),
            Framing::Close => false,
        }
    }
}

impl http_body::Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        if !self.whole.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.whole)))));
        }
        let Some(coming) = &mut self.coming else { return Poll::Ready(None) };
        let piece = ready!(coming.poll_piece(cx));
        let is_over = match &piece {
            Ok(piece) => piece.is_empty() || coming.is_ended(),
            Err(_) => true,
        };
        if is_over && let Some(coming) = self.coming.take() {
            match &piece {
                Ok(_) => coming.lease.finish(coming.is_reusable),
                Err(_) => coming.lease.fail(),
            }
        }
        Poll::Ready(match piece {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some(Ok(Frame::data(piece))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty() && self.coming.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.coming.as_deref() {
            None => SizeHint::with_exact(self.whole.len() as u64),
            Some(Coming { framing: Framing::Length(left), .. }) => SizeHint::with_exact(*left),
            Some(Coming { framing: Framing::Chunked(_) | Framing::Close, .. }) => {
                SizeHint::default()
            }
        }
    }
}
