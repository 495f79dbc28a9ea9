//! The connection itself: what was read and is not used yet, what is to be written, and the time that is kept.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use super::{heads::Heads, output::Output, upload::Upload};
use crate::{
    framing::Violation,
    limits::Phase,
    refusal::Refusal,
    server::{
        state::{State, Wait},
        worker::Shared,
    },
};

/// Most bytes taken from the socket at a time while some are held back.
const READ_WHILE_HOLDING: usize = 16 * 1024;

/// One connection, which the body of its current request shares. Never leaves its thread, and nothing is borrowed while
/// anybody else's code runs.
pub(super) struct Wire {
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<State>,
    pub(super) inner: RefCell<Inner>,
    /// The number of the request whose body was dropped last.
    pub(super) dropped: Cell<u64>,
}

pub(super) struct Inner {
    pub(super) stream: TcpStream,
    /// Bytes read and not used yet.
    pub(super) held: Vec<u8>,
    /// Whether nobody has looked at them as what they are now.
    pub(super) is_new: bool,
    /// Whether the client has sent all it will.
    ended: bool,
    /// Whether the answer to the current request was the last.
    pub(super) is_over: bool,
    /// Whether nothing more is to be said, so that the connection ends with a reset.
    pub(super) resets: bool,
    pub(super) heads: Heads,
    /// The number of the current request, 1 for the first.
    pub(super) number: u64,
    pub(super) upload: Upload,
    /// Whether the client still waits to hear that its body is wanted.
    pub(super) expects: bool,
    /// Whether the current request is being answered.
    pub(super) answers: bool,
    /// Who waits for more of the body.
    pub(super) waiting: Option<Waker>,
    pub(super) output: Output,
    /// What the client is to be told before the connection closes.
    refusal: Option<Refusal>,
    /// Whether that is for a body, whose request the service may have answered by itself.
    in_body: bool,
}

/// What one look at the connection gave.
pub(super) enum Seen<T> {
    /// What was looked for, and how many bytes it took.
    All(usize, T),
    /// There is too little to tell.
    Short,
}

impl Wire {
    /// The connection on `stream`, of which `held` was read before.
    pub(super) fn new(
        stream: TcpStream,
        held: Vec<u8>,
        shared: Rc<Shared>,
        state: Rc<State>,
    ) -> Rc<Self> {
        let inner = Inner {
            stream,
            is_new: !held.is_empty(),
            held,
            ended: false,
            is_over: false,
            resets: false,
            heads: Heads::default(),
            number: 0,
            upload: Upload::None,
            expects: false,
            answers: false,
            waiting: None,
            output: Output::default(),
            refusal: None,
            in_body: false,
        };
        Rc::new(Self { shared, state, inner: RefCell::new(inner), dropped: Cell::new(0) })
    }

    /// Shows `look` what was read, reading more for as long as it takes. `Ok(None)` is the end of what the client sends.
    pub(super) fn poll_look<T>(
        &self,
        cx: &mut Context<'_>,
        inner: &mut Inner,
        mut look: impl FnMut(&mut Inner, &[u8]) -> Result<Seen<T>, Violation>,
    ) -> Poll<io::Result<Result<Option<T>, Violation>>> {
        loop {
            if std::mem::take(&mut inner.is_new) {
                let mut held = std::mem::take(&mut inner.held);
                let seen = look(inner, &held);
                if let Ok(Seen::All(used, _)) = seen {
                    held.drain(..used);
                }
                // An idle connection holds no memory.
                inner.held = if held.is_empty() { Vec::new() } else { held };
                match seen {
                    Ok(Seen::All(_, found)) => {
                        inner.is_new = !inner.held.is_empty();
                        return Poll::Ready(Ok(Ok(Some(found))));
                    }
                    Ok(Seen::Short) => {}
                    Err(violation) => return Poll::Ready(Ok(Err(violation))),
                }
            }
            if inner.ended {
                return Poll::Ready(Ok(Ok(None)));
            }
            let mut scratch = self.shared.scratch.borrow_mut();
            let most = if inner.held.is_empty() { scratch.len() } else { READ_WHILE_HOLDING };
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
            ready!(Pin::new(&mut inner.stream).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                inner.ended = true;
            } else if inner.held.is_empty() {
                match look(inner, bytes) {
                    Ok(Seen::All(used, found)) => {
                        inner.held.extend_from_slice(&bytes[used..]);
                        inner.is_new = !inner.held.is_empty();
                        return Poll::Ready(Ok(Ok(Some(found))));
                    }
                    Ok(Seen::Short) => inner.held.extend_from_slice(bytes),
                    Err(violation) => {
                        inner.held.extend_from_slice(bytes);
                        return Poll::Ready(Ok(Err(violation)));
                    }
                }
            } else {
                inner.held.extend_from_slice(bytes);
                inner.is_new = true;
            }
        }
    }

    /// Notes that the client broke the rules.
    pub(super) fn refuse(&self, inner: &mut Inner, violation: Violation, in_body: bool) {
        self.shared.counters.count_violation(violation);
        (inner.refusal, inner.in_body) = (Some(Refusal::of(violation)), in_body);
    }

    /// Notes that the client was too slow.
    pub(super) fn time_out(inner: &mut Inner, in_body: bool) {
        (inner.refusal, inner.in_body) = (Some(Refusal::timeout()), in_body);
    }

    /// Empty maps with room for fields and extensions.
    pub(super) fn spare_maps(&self) -> (HeaderMap, Extensions) {
        self.shared.maps.borrow_mut().pop().unwrap_or_default()
    }

    /// Wakes whoever waits for a body whose time is over.
    pub(super) fn wake_overdue(&self, cx: &Context<'_>) {
        if self.state.overdue() == Some(Phase::Body) {
            let waiting = self.inner.borrow_mut().waiting.take();
            if let Some(waiting) = waiting.filter(|waiting| !waiting.will_wake(cx.waker())) {
                waiting.wake();
            }
        }
    }

    /// Nothing came of the body: may the connection wait on? If so, whoever polls is woken when its time is over.
    pub(super) fn may_wait_for_body(&self, inner: &mut Inner, cx: &Context<'_>) -> bool {
        if self.state.overdue() == Some(Phase::Body) {
            return false;
        }
        self.state.wait_for(Wait::Body, self.shared.clock.now());
        if !inner.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
            inner.waiting = Some(cx.waker().clone());
        }
        true
    }

    /// Nothing came of a head: what is the connection waiting for, and may it go on waiting?
    pub(super) fn may_wait_for_head(&self, inner: &mut Inner) -> bool {
        let begun = inner.heads.begun();
        match self.state.overdue() {
            Some(Phase::Idle) => return false,
            Some(Phase::Head) => {
                if !inner.held.is_empty() {
                    Self::time_out(inner, false);
                }
                return false;
            }
            _ => {}
        }
        let (now, used) = (self.shared.clock.now(), self.state.used.get());
        if begun {
            self.state.wait_for(Wait::Head, now);
        } else if self.shared.drop_idle() {
            return false;
        } else if used {
            self.state.wait_for(Wait::Request, now);
        }
        true
    }

    /// Writes what there is to be written.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Inner { stream, output, .. } = &mut *self.inner.borrow_mut();
        while !output.is_empty() {
            match output.poll_write(Pin::new(stream), cx) {
                Poll::Ready(written) => {
                    self.state.write_progress();
                    written?;
                }
                Poll::Pending if self.state.overdue() == Some(Phase::Write) => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => {
                    self.state.write_stalled(self.shared.clock.now());
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Makes the end of the connection a reset, for a client that could take a plain end for the end of its answer.
    pub(super) fn reset_at_end(&self) {
        let inner = &mut *self.inner.borrow_mut();
        // Where it can't be, the answer ends like a whole one: there is no other way to tell.
        inner.resets = inner.stream.set_zero_linger().is_ok();
    }

    /// Whether a message was cut off: then there may be bytes on the way that nobody will read.
    pub(super) fn mid_message(&self) -> bool {
        let inner = self.inner.borrow();
        inner.refusal.is_some()
            || !inner.held.is_empty()
            || inner.upload.is_under_way()
            || inner.heads.begun()
    }

    /// What the client is still to be told.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        let mut inner = self.inner.borrow_mut();
        let told = inner.in_body && self.state.answered.get();
        inner.refusal.take().filter(|_| !told)
    }

    /// Takes the last bytes to be written, and forgets what could not be written before.
    pub(super) fn say_last(&self, bytes: Vec<u8>) {
        let mut inner = self.inner.borrow_mut();
        // No body may read what comes from here on.
        inner.number += 1;
        if !inner.output.is_empty() {
            return;
        }
        inner.output.push_shared(Bytes::from(bytes));
    }

    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner.borrow_mut().stream).poll_shutdown(cx)
    }

    /// Reads what nobody needs. 0 is the end.
    pub(super) fn poll_waste(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.ended {
            return Poll::Ready(Ok(0));
        }
        let mut scratch = self.shared.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut inner.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}
