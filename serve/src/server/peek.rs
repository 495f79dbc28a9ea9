//! The first bytes of a connection, before its protocol is known.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::{state::State, worker::Shared};

/// Most bytes taken from the socket at a time.
const READ: usize = 16 * 1024;

/// A socket of which only the first bytes are looked at.
pub(super) struct Peeking {
    stream: TcpStream,
    shared: Rc<Shared>,
    state: Rc<State>,
    /// Bytes read and not handed on yet.
    held: Vec<u8>,
}

/// What a look at the first bytes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peek {
    /// There are more than before.
    More,
    /// The client left or took too long, or the server is on its way out.
    Over,
}

impl Peeking {
    pub(super) fn new(stream: TcpStream, shared: Rc<Shared>, state: Rc<State>) -> Self {
        Self { stream, shared, state, held: Vec::new() }
    }

    /// The socket and what was read from it.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.held)
    }

    /// The bytes read while the protocol was not known.
    pub(super) fn peeked(&self) -> &[u8] {
        &self.held
    }

    /// Reads more into what is held.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Peek> {
        let mut scratch = self.shared.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch[..READ]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.held.extend_from_slice(buffer.filled());
                Poll::Ready(Peek::More)
            }
            Poll::Ready(_) => Poll::Ready(Peek::Over),
            Poll::Pending if self.state.overdue().is_some() || self.shared.drop_idle() => {
                Poll::Ready(Peek::Over)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
