//! One connection to an upstream.
use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _},
    net::TcpStream,
};

use super::deadline::Deadline;

/// Room for one read: a whole answer, most of the time.
const READ: usize = 8 * 1024;
/// Room for one read in the middle of a long body.
const READ_MUCH: usize = 64 * 1024;

/// A connection with what was read from it and not yet taken, and what is still to be written.
#[derive(Debug)]
pub(super) struct Conn {
    stream: TcpStream,
    pub(super) deadline: Deadline,
    pub(super) input: BytesMut,
    // What is still to be written, in this order.
    output: [Bytes; 3],
}

impl Conn {
    pub(super) fn new(stream: TcpStream, deadline: Deadline) -> Self {
        Self { stream, deadline, input: BytesMut::new(), output: Default::default() }
    }

    /// Whether nothing has come since the last answer, not even the end.
    ///
    /// Asks what the runtime knows; a system call is made only if something has happened.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        self.input.is_empty()
            && matches!(self.stream.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes `head` and `body` in one system call as far as the connection takes them at once, and keeps the rest for
    /// [`poll_flush`](Self::poll_flush). Answers how much was written.
    pub(super) fn begin(&mut self, head: &[u8], body: Bytes) -> io::Result<usize> {
        let written = if body.is_empty() {
            self.stream.try_write(head)
        } else {
            self.stream.try_write_vectored(&[IoSlice::new(head), IoSlice::new(&body)])
        };
        let written = match written {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if written < head.len() {
            self.queue([Bytes::copy_from_slice(&head[written..]), body, Bytes::new()]);
        } else if written - head.len() < body.len() {
            self.queue([body.slice(written - head.len()..), Bytes::new(), Bytes::new()]);
        }
        Ok(written)
    }

    /// Gives what is to be written next, in this order. To be called when all before it was flushed.
    pub(super) fn queue(&mut self, pieces: [Bytes; 3]) {
        debug_assert!(self.is_flushed());
        self.output = pieces;
    }

    /// Forgets what is still to be written.
    pub(super) fn give_up_writing(&mut self) {
        self.output = Default::default();
    }

    /// Whether all that was given has been written.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.iter().all(Bytes::is_empty)
    }

    /// Writes some of what is left, of which there must be some.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pieces = self.output.each_ref().map(|piece| IoSlice::new(piece));
        let mut written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &pieces))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        for piece in &mut self.output {
            let of_piece = written.min(piece.len());
            piece.advance(of_piece);
            written -= of_piece;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads behind what was read before. Zero is the end.
    ///
    /// `much` asks for more than an answer usually has.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        much: bool,
    ) -> Poll<io::Result<usize>> {
        let room = self.input.capacity() - self.input.len();
        if room < if much { READ } else { READ / 4 } {
            self.input.reserve(if much { READ_MUCH } else { READ });
        }
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }

    /// Lets go of memory that only a long body needed.
    pub(super) fn rest(&mut self) {
        if self.input.capacity() > READ {
            self.input = BytesMut::new();
        }
    }
}
