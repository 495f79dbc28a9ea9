//! The time that the body of an HTTP/2 request takes.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::{incoming::BrokenBody, requests::Request, state::Millis};

/// How long a body was waited for. Time in which nobody asks for it does not count.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Since when it is waited for.
    since: Cell<Option<Millis>>,
    /// How long it was waited for before.
    waited: Cell<Millis>,
    bytes: Cell<u64>,
    late: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    /// Whether it fails for being `slow`, which is told once.
    pub(super) fn fails(&self, now: Millis, slow: impl Fn(Millis, u64) -> bool) -> bool {
        let Some(since) = self.since.get().filter(|_| !self.late.get()) else { return false };
        if !slow(self.waited.get() + now.saturating_sub(since), self.bytes.get()) {
            return false;
        }
        self.late.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Nothing is there: may it be waited for?
    fn may_wait(&self, now: Millis, cx: &Context<'_>) -> bool {
        if self.late.get() {
            return false;
        }
        self.since.set(Some(self.since.get().unwrap_or(now)));
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        true
    }

    /// So many bytes came, or nothing more will be waited for.
    fn progress(&self, bytes: usize, now: Millis) {
        if let Some(since) = self.since.take() {
            self.waited.update(|waited| waited + now.saturating_sub(since));
        }
        self.late.set(false);
        self.bytes.update(|total| total + bytes as u64);
    }
}

/// The body itself.
pub(super) struct Streamed {
    pub(super) body: hyper::body::Incoming,
    request: Rc<Request>,
}

impl Streamed {
    pub(super) fn new(body: hyper::body::Incoming, request: Rc<Request>) -> Self {
        Self { body, request }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let (upload, now) = (&self.request.upload, self.request.now());
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() && !upload.may_wait(now, cx) {
            return Poll::Ready(Some(Err(BrokenBody::TimedOut)));
        }
        let frame = ready!(polled);
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        upload.progress(bytes.map_or(0, Bytes::len), now);
        Poll::Ready(frame.map(|frame| frame.map_err(BrokenBody::Stream)))
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.request.upload.progress(0, self.request.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_counts_and_progress_forgives() {
        let (upload, cx) = (Upload::default(), Context::from_waker(Waker::noop()));
        let slow = |waited: Millis, _: u64| waited >= 30_000;
        assert!(upload.may_wait(0, &cx));
        assert!(upload.may_wait(5_000, &cx));
        upload.progress(10, 20_000);
        // Nobody asked from 20 s to 500 s.
        assert!(!upload.fails(500_000, slow));
        assert!(upload.may_wait(500_000, &cx));
        assert!(!upload.fails(509_999, slow));
        assert!(upload.fails(510_000, slow));
        assert!(!upload.fails(510_000, slow), "it is told twice");
        assert!(!upload.may_wait(510_000, &cx));
        // What came just then is taken.
        upload.progress(10, 510_000);
        assert!(upload.may_wait(510_000, &cx));
    }
}
