//! Sending a request whose body is still coming.
use std::{
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use kamaitachi_layers::body::Body;
use tower::BoxError;

use super::{conn::Conn, deadline::Ticks, error::UpstreamError, request::Framing};

/// How much of a request is still to be given to the connection.
#[derive(Debug)]
pub(super) enum Upload {
    /// Nothing.
    Given,
    /// A body of so many bytes more.
    Length(u64),
    /// A body in chunks.
    Chunks,
    /// The connection takes no more. There may yet be an answer that says why.
    Broken(std::io::Error),
}

/// A body that is not as long as it said.
#[derive(Debug, thiserror::Error)]
#[error("body is not as long as announced")]
struct WrongLength;

impl Upload {
    /// What is left to give after the head, if the body is not in memory.
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Given,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks,
        }
    }

    /// Whether there is nothing more to do.
    pub(super) fn is_over(&self, conn: &Conn) -> bool {
        matches!(self, Self::Broken(_)) || self.is_given(conn)
    }

    /// Whether the connection has taken all of the request.
    pub(super) fn is_given(&self, conn: &Conn) -> bool {
        matches!(self, Self::Given) && conn.is_flushed()
    }

    /// Why the connection takes no more, if so.
    pub(super) fn take_error(&mut self) -> Option<std::io::Error> {
        if !matches!(self, Self::Broken(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Given) {
            Self::Broken(error) => Some(error),
            Self::Given | Self::Length(_) | Self::Chunks => None,
        }
    }

    /// Gives what there is, until all has been written. Ready also when the connection takes no more.
    ///
    /// Sets the connection's deadline to `limit` whenever the upstream took a piece, and suspends it while the next
    /// one is the client's to deliver.
    pub(super) fn poll<B>(
        &mut self,
        conn: &mut Conn,
        mut body: Pin<&mut Body<B>>,
        limit: Ticks,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    {
        loop {
            while !conn.is_flushed() {
                match ready!(conn.poll_flush(cx)) {
                    Ok(()) => conn.deadline.set(limit),
                    Err(error) => {
                        conn.give_up_writing();
                        *self = Self::Broken(error);
                    }
                }
            }
            if matches!(self, Self::Given | Self::Broken(_)) {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(frame) = http_body::Body::poll_frame(body.as_mut(), cx) else {
                conn.deadline.unset();
                return Poll::Pending;
            };
            conn.deadline.set(limit);
            match frame {
                // Trailers are not forwarded.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.give(conn, data)?;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(UpstreamError::RequestBody(error))),
                None => self.end(conn)?,
            }
        }
    }

    fn give(&mut self, conn: &mut Conn, data: Bytes) -> Result<(), UpstreamError> {
        match self {
            // An empty chunk would be the last.
            _ if data.is_empty() => {}
            Self::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Err(UpstreamError::RequestBody(WrongLength.into()));
                };
                conn.queue([data, Bytes::new(), Bytes::new()]);
                if rest == 0 {
                    *self = Self::Given;
                } else {
                    *left = rest;
                }
            }
            Self::Chunks => {
                let mut size = BytesMut::with_capacity(20);
                // Writing to memory does not fail.
                let _ = write!(size, "{:x}\r\n", data.len());
                conn.queue([size.freeze(), data, Bytes::from_static(b"\r\n")]);
            }
            Self::Given | Self::Broken(_) => {}
        }
        Ok(())
    }

    fn end(&mut self, conn: &mut Conn) -> Result<(), UpstreamError> {
        match self {
            Self::Length(_) => return Err(UpstreamError::RequestBody(WrongLength.into())),
            Self::Chunks => {
                conn.queue([Bytes::from_static(b"0\r\n\r\n"), Bytes::new(), Bytes::new()]);
                *self = Self::Given;
            }
            Self::Given | Self::Broken(_) => {}
        }
        Ok(())
    }
}
