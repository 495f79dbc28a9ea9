//! The byte stream of a connection under hyper.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hyper::rt::ReadBufCursor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{state::State, worker::Shared};
use crate::limits::Phase;

/// A socket whose time is kept. Whoever made it has the socket too, for when hyper is done with it.
pub(super) struct Io {
    stream: Rc<RefCell<TcpStream>>,
    shared: Rc<Shared>,
    state: Rc<State>,
    /// Bytes read before the protocol was known and not handed on yet.
    held: Vec<u8>,
    /// Whether the client has sent all it will.
    ended: bool,
}

impl Io {
    /// `held` was read before; from here on streams share the connection.
    pub(super) fn new(
        stream: Rc<RefCell<TcpStream>>,
        held: Vec<u8>,
        shared: Rc<Shared>,
        state: Rc<State>,
    ) -> Self {
        state.streams(shared.clock.now(), |streams| streams.received(&held));
        Self { stream, shared, state, held, ended: false }
    }

    /// Nothing came: may the connection go on waiting?
    fn pending(&self) -> Poll<io::Result<()>> {
        match self.state.overdue() {
            Some(Phase::Idle) if self.state.open_streams() == 0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = &mut *self;
        if !io.held.is_empty() {
            let n = cursor.remaining().min(io.held.len());
            cursor.put_slice(&io.held[..n]);
            io.held.drain(..n);
            return Poll::Ready(Ok(()));
        }
        if io.ended {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = io.shared.scratch.borrow_mut();
        let room = scratch.len().min(cursor.remaining());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        if Pin::new(&mut *io.stream.borrow_mut()).poll_read(cx, &mut buffer)?.is_pending() {
            drop(scratch);
            return io.pending();
        }
        let bytes = buffer.filled();
        io.ended = bytes.is_empty();
        io.state.streams(io.shared.clock.now(), |streams| streams.received(bytes));
        cursor.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl Io {
    /// Keeps time by what was written of `slices`.
    fn wrote(
        &self,
        poll: Poll<io::Result<usize>>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &poll {
            Poll::Ready(done) => {
                self.state.write_progress();
                let mut left = *done.as_ref().unwrap_or(&0);
                self.state.streams(self.shared.clock.now(), |streams| {
                    for slice in slices {
                        let n = left.min(slice.len());
                        streams.sent(&slice[..n]);
                        left -= n;
                    }
                });
            }
            Poll::Pending if self.state.overdue() == Some(Phase::Write) => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => self.state.write_stalled(self.shared.clock.now()),
        }
        poll
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes);
        self.wrote(poll, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, slices);
        self.wrote(poll, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The socket holds nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Left to the connection's task, which may have something to add.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
