//! The byte stream under hyper: framing is checked and time is kept here.

use std::{
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

use super::{
    state::{State, Wait},
    worker::Shared,
};
use crate::{
    framing::{FramingGuard, Progress, Stage},
    limits::Phase,
    refusal::Refusal,
};

/// Most bytes taken from the socket at a time while some are held back.
const READ_WHILE_HOLDING: usize = 16 * 1024;

/// A socket whose inbound bytes pass the framing guard before hyper sees them.
pub(super) struct Io {
    pub(super) stream: TcpStream,
    shared: Rc<Shared>,
    state: Rc<State>,
    /// `None` before the protocol is known and for HTTP/2, which has its own framing.
    guard: Option<FramingGuard>,
    /// Bytes read and not yet handed on: those from `at` to `passed` may be.
    held: Vec<u8>,
    at: usize,
    passed: usize,
    /// Whether the guard has seen all that is held.
    seen: bool,
    /// What the client is to be told before the connection closes.
    refusal: Option<Refusal>,
    /// Whether that is for a body, whose request the service may have answered by itself.
    in_body: bool,
    /// Whether the client has sent all it will.
    pub(super) ended: bool,
}

impl Io {
    pub(super) fn new(stream: TcpStream, shared: Rc<Shared>, state: Rc<State>) -> Self {
        Self {
            stream,
            shared,
            state,
            guard: None,
            held: Vec::new(),
            at: 0,
            passed: 0,
            seen: true,
            refusal: None,
            in_body: false,
            ended: false,
        }
    }

    /// From here on, bytes are HTTP/1 and pass the guard.
    pub(super) fn guard(&mut self, guard: FramingGuard) {
        self.guard = Some(guard);
        self.passed = self.at;
        self.seen = self.at == self.held.len();
    }

    /// From here on, bytes pass as they are.
    pub(super) fn open(&mut self) {
        self.state.streams(|streams| streams.received(&self.held, self.shared.clock.now()));
        self.passed = self.held.len();
    }

    /// The bytes read while the protocol was not known.
    pub(super) fn peeked(&self) -> &[u8] {
        &self.held
    }

    /// Whether a message was cut off: then there may be bytes on the way that nobody will read.
    pub(super) fn mid_message(&self) -> bool {
        self.refusal.is_some()
            || self.held.len() > self.at
            || self.guard.as_ref().is_some_and(|guard| guard.stage() != Stage::Between)
    }

    /// What the client is still to be told.
    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        let told = self.in_body && self.state.answered.get();
        self.refusal.take().filter(|_| !told)
    }

    /// Reads more into what is held; 0 at the end. For the time before the protocol is known.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.poll_fill(cx)? {
            Poll::Ready(n) => Poll::Ready(Ok(n)),
            Poll::Pending if self.state.overdue().is_some() => {
                if !self.held.is_empty() {
                    self.refusal = Some(Refusal::timeout());
                }
                Poll::Ready(Ok(0))
            }
            Poll::Pending if self.shared.drop_fresh() => Poll::Ready(Ok(0)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = self.shared.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch[..READ_WHILE_HOLDING]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        self.ended = bytes.is_empty();
        self.held.extend_from_slice(bytes);
        self.seen = false;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Hands on what has passed the guard.
    fn deliver(&mut self, mut cursor: ReadBufCursor<'_>) {
        let n = cursor.remaining().min(self.passed - self.at);
        cursor.put_slice(&self.held[self.at..self.at + n]);
        self.at += n;
        if self.at == self.held.len() {
            // An idle connection holds no memory.
            self.held = Vec::new();
            (self.at, self.passed) = (0, 0);
        }
    }

    /// Shows the guard what is held. `Err` ends the reading.
    fn inspect(&mut self) -> Result<(), End> {
        let Some(guard) = &mut self.guard else {
            self.passed = self.held.len();
            return Ok(());
        };
        if self.at > 0 {
            self.held.drain(..self.at);
            (self.at, self.passed) = (0, 0);
        }
        let progress = guard.advance(&self.held);
        self.passed = progress.passed;
        self.seen = true;
        self.note(progress)
    }

    /// Keeps the connection's time by what passed, and turns a violation into the end.
    fn note(&mut self, progress: Progress) -> Result<(), End> {
        let now = self.shared.clock.now();
        if progress.heads > 0 {
            self.state.head_done();
        }
        if progress.body > 0 {
            self.state.body_progress(progress.body, now);
        }
        // What passed before the violation is handed on first; the guard will say it again.
        match progress.violation {
            Some(violation) if progress.passed == 0 => {
                self.shared.counters.count_violation(violation);
                self.refusal = Some(Refusal::of(violation));
                self.in_body = self.guard.as_ref().is_some_and(|g| g.stage() == Stage::Body);
                Err(if self.in_body { End::Broken } else { End::Clean })
            }
            Some(_) => {
                self.seen = false;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The fast path: bytes go from the socket past the guard to hyper, and nothing is held.
    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<Result<usize, End>>> {
        let shared = Rc::clone(&self.shared);
        let mut scratch = shared.scratch.borrow_mut();
        let room = scratch.len().min(cursor.remaining());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        if bytes.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(Err(End::Clean)));
        }
        let Some(guard) = &mut self.guard else {
            self.state.streams(|streams| streams.received(bytes, shared.clock.now()));
            cursor.put_slice(bytes);
            return Poll::Ready(Ok(Ok(bytes.len())));
        };
        let progress = guard.advance(bytes);
        cursor.put_slice(&bytes[..progress.passed]);
        self.held.extend_from_slice(&bytes[progress.passed..]);
        self.seen = true;
        let passed = progress.passed;
        Poll::Ready(Ok(self.note(progress).map(|()| passed)))
    }

    /// Nothing came: what is the connection waiting for, and may it go on waiting?
    fn pending(&mut self) -> Poll<io::Result<()>> {
        let stage = self.guard.as_ref().map(FramingGuard::stage);
        let idle = self.state.in_flight() == 0;
        match self.state.overdue() {
            Some(Phase::Idle) => return Poll::Ready(Ok(())),
            Some(Phase::Head) if idle => {
                if !self.held.is_empty() {
                    self.refusal = Some(Refusal::timeout());
                }
                return Poll::Ready(Ok(()));
            }
            Some(Phase::Body) => {
                self.refusal = Some(Refusal::timeout());
                self.in_body = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            _ => {}
        }
        let now = self.shared.clock.now();
        match stage {
            Some(Stage::Body) => self.state.wait_for(Wait::Body, now),
            Some(Stage::Head) => self.state.wait_for(Wait::Head, now),
            Some(Stage::Between) if idle => {
                if self.shared.draining() && (self.state.used.get() || self.shared.drop_fresh()) {
                    return Poll::Ready(Ok(()));
                }
                if self.state.used.get() {
                    self.state.wait_for(Wait::Request, now);
                }
            }
            Some(Stage::Between) | None => {}
        }
        Poll::Pending
    }
}

/// How the reading of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Between messages, or as the client left it.
    Clean,
    /// Inside a body, which must not pass for a whole one.
    Broken,
}

impl From<End> for Poll<io::Result<()>> {
    fn from(end: End) -> Self {
        match end {
            End::Clean => Self::Ready(Ok(())),
            End::Broken => Self::Ready(Err(io::ErrorKind::InvalidData.into())),
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
        loop {
            if io.passed > io.at {
                io.deliver(cursor);
                return Poll::Ready(Ok(()));
            }
            if io.refusal.is_some() {
                return Poll::Ready(Ok(()));
            }
            if !io.seen {
                if let Err(end) = io.inspect() {
                    return end.into();
                }
                if io.passed > io.at {
                    continue;
                }
            }
            if !io.held.is_empty() {
                match io.poll_fill(cx)? {
                    Poll::Ready(0) => return Poll::Ready(Ok(())),
                    Poll::Ready(_) => continue,
                    Poll::Pending => return io.pending(),
                }
            }
            match io.poll_straight(cx, &mut cursor)? {
                Poll::Ready(Ok(0)) => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(end)) => return end.into(),
                Poll::Pending => return io.pending(),
            }
        }
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
                self.state.streams(|streams| {
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(poll, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
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
