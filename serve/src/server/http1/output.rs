//! What is still to be written to a connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::{io::AsyncWrite as _, net::TcpStream};

/// Pieces up to this many bytes are copied behind what is there, so that one plain write sends all.
const COPIED: usize = 16 * 1024;
/// So much waits before anything is asked for more.
const FULL: usize = 64 * 1024;

/// Bytes in a buffer, and then a piece that was too large to be copied there.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// In a buffer of the worker's, which goes back when all is written.
    pub(super) bytes: Vec<u8>,
    written: usize,
    shared: Bytes,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.bytes.len() && self.shared.is_empty()
    }

    /// Whether it should be written before there is more.
    pub(super) fn is_full(&self) -> bool {
        !self.shared.is_empty() || self.bytes.len() - self.written >= FULL
    }

    /// Adds a piece of a body. Not to be called when it is full.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() <= COPIED {
            self.bytes.extend_from_slice(&piece);
        } else {
            self.push_shared(piece);
        }
    }

    pub(super) fn push_shared(&mut self, piece: Bytes) {
        debug_assert!(self.shared.is_empty());
        self.shared = piece;
    }

    /// Writes some of it, of which there must be some.
    pub(super) fn poll_write(
        &mut self,
        stream: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = &self.bytes[self.written..];
        let written = if self.shared.is_empty() {
            ready!(stream.poll_write(cx, bytes))?
        } else {
            let both = [IoSlice::new(bytes), IoSlice::new(&self.shared)];
            ready!(stream.poll_write_vectored(cx, &both))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let own = written.min(bytes.len());
        self.written += own;
        self.shared.advance(written - own);
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}
