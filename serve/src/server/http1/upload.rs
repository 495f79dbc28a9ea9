//! The body of the current request, as far as it did not come with its head.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

use super::wire::{Inner, Seen, Wire};
use crate::{
    framing::{
        Violation,
        chunked::{Chunked, Step},
        classes,
        head::Framing,
    },
    server::incoming::BrokenBody,
};

/// What a client is told that waits to hear that its body is wanted.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of a body is still to come.
#[derive(Debug)]
pub(super) enum Upload {
    /// Nothing.
    None,
    Length(u64),
    Chunked {
        at: Chunked,
        trailers: HeaderMap,
    },
    /// It is whole but for these, which were read and not given yet.
    Trailers(HeaderMap),
    /// It will never be whole.
    Broken,
}

impl Upload {
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::None,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked { at: Chunked::Size, trailers: HeaderMap::default() },
        }
    }

    /// Whether bytes of it are still to be read.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked { .. } | Self::Broken)
    }

    /// Takes what there is of it in `bytes`: how many, and the content among them.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, Bytes), Violation> {
        match self {
            Self::Length(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                if *left == 0 {
                    *self = Self::None;
                }
                Ok((n, Bytes::copy_from_slice(&bytes[..n])))
            }
            Self::Chunked { at, trailers } => {
                let (used, content, is_over) = chunks(at, trailers, bytes)?;
                if is_over {
                    let trailers = std::mem::take(trailers);
                    *self = if trailers.is_empty() { Self::None } else { Self::Trailers(trailers) };
                }
                Ok((used, content.into()))
            }
            Self::None | Self::Trailers(_) | Self::Broken => Ok((0, Bytes::new())),
        }
    }
}

/// Takes as many chunks as there are in `bytes`. A violation is told when all before it was taken.
fn chunks(
    at: &mut Chunked,
    trailers: &mut HeaderMap,
    bytes: &[u8],
) -> Result<(usize, Vec<u8>, bool), Violation> {
    let (mut used, mut content) = (0, Vec::new());
    while used < bytes.len() {
        let rest = &bytes[used..];
        let was = *at;
        match at.advance(rest) {
            Ok(Step::Passed(n)) => {
                match was {
                    Chunked::Data(_) => content.extend_from_slice(&rest[..n]),
                    Chunked::Trailers { .. } => note(trailers, &rest[..n])?,
                    Chunked::Size | Chunked::DataEnd => {}
                }
                used += n;
            }
            Ok(Step::End(n)) => return Ok((used + n, content, true)),
            Err(violation) if used == 0 => return Err(violation),
            Ok(Step::Short) | Err(_) => break,
        }
    }
    Ok((used, content, false))
}

/// Notes a trailer, given as a line with its end.
fn note(trailers: &mut HeaderMap, line: &[u8]) -> Result<(), Violation> {
    let colon = memchr::memchr(b':', line).ok_or(Violation::Trailer)?;
    let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| Violation::Trailer)?;
    let value = classes::trim(&line[colon + 1..line.len() - 2]);
    let value = HeaderValue::from_bytes(value).map_err(|_| Violation::Trailer)?;
    trailers.try_append(name, value).map(drop).map_err(|_| Violation::Trailer)
}

/// A body that reads from its connection.
pub(in crate::server) struct Coming {
    pub(super) wire: Rc<Wire>,
    /// Of which request.
    pub(super) number: u64,
}

impl Coming {
    pub(in crate::server) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let mut inner = self.wire.inner.borrow_mut();
        if inner.number != self.number {
            return Poll::Ready(Some(Err(BrokenBody::Gone)));
        }
        self.wire.poll_upload(&mut inner, cx)
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        let inner = self.wire.inner.borrow();
        inner.number == self.number && matches!(inner.upload, Upload::None)
    }

    pub(in crate::server) fn size_hint(&self) -> SizeHint {
        let inner = self.wire.inner.borrow();
        match inner.upload {
            _ if inner.number != self.number => SizeHint::default(),
            Upload::Length(left) => SizeHint::with_exact(left),
            Upload::None => SizeHint::with_exact(0),
            Upload::Chunked { .. } | Upload::Trailers(_) | Upload::Broken => SizeHint::default(),
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // One of an earlier request may be dropped after this one's.
        self.wire.dropped.update(|dropped| dropped.max(self.number));
    }
}

impl Wire {
    /// The next piece of the current body.
    fn poll_upload(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        loop {
            match &mut inner.upload {
                Upload::None => return Poll::Ready(None),
                Upload::Trailers(trailers) => {
                    let trailers = std::mem::take(trailers);
                    inner.upload = Upload::None;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Upload::Broken => return Poll::Ready(Some(Err(BrokenBody::Gone))),
                Upload::Length(_) | Upload::Chunked { .. } => {}
            }
            let content = match ready!(self.poll_content(inner, cx)) {
                Ok(content) => content,
                Err(broken) => {
                    inner.upload = Upload::Broken;
                    return Poll::Ready(Some(Err(broken)));
                }
            };
            if !content.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(content))));
            }
        }
    }

    fn poll_content(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, BrokenBody>> {
        if !inner.is_new {
            go_on(inner, cx);
        }
        let looked = self.poll_look(cx, inner, |inner, bytes| {
            let (used, content) = inner.upload.take(bytes)?;
            Ok(if used == 0 { Seen::Short } else { Seen::All(used, (used, content)) })
        });
        Poll::Ready(match looked {
            Poll::Ready(Ok(Ok(Some((used, content))))) => {
                self.state.body_progress(used, self.shared.clock.now());
                Ok(content)
            }
            Poll::Ready(Ok(Ok(None))) => Err(BrokenBody::Cut),
            Poll::Ready(Ok(Err(violation))) => {
                self.refuse(inner, violation, true);
                Err(BrokenBody::Malformed(violation))
            }
            Poll::Ready(Err(error)) => Err(BrokenBody::Read(error)),
            Poll::Pending if self.may_wait_for_body(inner, cx) => return Poll::Pending,
            Poll::Pending => {
                Self::time_out(inner, true);
                Err(BrokenBody::TimedOut)
            }
        })
    }

    /// Reads past what the service left of a body, of at most `left` bytes; tells whether the connection can go on.
    pub(super) fn poll_past_upload(&self, left: &mut u64, cx: &mut Context<'_>) -> Poll<bool> {
        let inner = &mut *self.inner.borrow_mut();
        if self.dropped.get() != inner.number {
            // Whoever answered has something else that reads on.
            return Poll::Ready(!matches!(inner.upload, Upload::Broken));
        }
        loop {
            match inner.upload {
                Upload::None => return Poll::Ready(true),
                Upload::Broken => return Poll::Ready(false),
                Upload::Length(length) if length > *left => return Poll::Ready(false),
                // A client that never heard that its body is wanted may leave it out.
                _ if inner.expects => return Poll::Ready(false),
                Upload::Length(_) | Upload::Chunked { .. } | Upload::Trailers(_) => {}
            }
            if let Some(Ok(frame)) = ready!(self.poll_upload(inner, cx)) {
                *left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                if *left == 0 {
                    return Poll::Ready(matches!(inner.upload, Upload::None));
                }
            }
        }
    }
}

/// Tells a client that waits for it that its body is wanted.
fn go_on(inner: &mut Inner, cx: &mut Context<'_>) {
    if std::mem::take(&mut inner.expects) && inner.output.is_empty() {
        inner.output.bytes.extend_from_slice(CONTINUE);
    }
    if !inner.answers && !inner.output.is_empty() {
        let Inner { stream, output, .. } = inner;
        // What can't be written now goes before the answer, and a client that is gone is met there.
        let _ = output.poll_write(Pin::new(stream), cx);
    }
}
