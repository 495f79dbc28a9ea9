//! What a worker knows of an open connection.
//!
//! No request starts a timer. A connection notes in cells what it waits for and since when, by the
//! worker's clock; the sweep compares, marks what is overdue and wakes it.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};

use super::{requests::Requests, streams::Streams};
use crate::limits::{Limits, Phase};

/// Milliseconds since the worker began, as of the last tick.
pub(super) type Millis = u64;

/// What a connection waits for its client to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: the server is at work.
    Nothing,
    /// The rest of a head.
    Head,
    /// More of a body.
    Body,
    /// Another request.
    Request,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    wait: Cell<Wait>,
    since: Cell<Millis>,
    write_since: Cell<Option<Millis>>,
    body_waited: Cell<Millis>,
    body_bytes: Cell<u64>,
    pub(super) overdue: Cell<Option<Phase>>,
    /// Whether any request was ever begun.
    pub(super) used: Cell<bool>,
    /// Whether the service answered the latest request.
    pub(super) answered: Cell<bool>,
    /// Where requests share the connection: its streams, and what the requests wait for.
    shared: OnceCell<(RefCell<Streams>, Rc<Requests>)>,
}

impl State {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            index: Cell::new(0),
            waker: RefCell::new(None),
            wait: Cell::new(Wait::Head),
            since: Cell::new(now),
            write_since: Cell::new(None),
            body_waited: Cell::new(0),
            body_bytes: Cell::new(0),
            overdue: Cell::new(None),
            used: Cell::new(false),
            answered: Cell::new(true),
            shared: OnceCell::new(),
        }
    }

    /// A request is given to the service, by HTTP/1.
    pub(super) fn begins(&self) {
        self.used.set(true);
        self.answered.set(false);
    }

    /// From here on requests share the connection, which is idle when no stream is open. Their
    /// answers may hold `room` bytes.
    pub(super) fn multiplex(&self, room: usize, now: Millis) -> Rc<Requests> {
        let fresh = || (RefCell::new(Streams::new()), Requests::new(room, now));
        let (_, requests) = self.shared.get_or_init(fresh);
        self.overdue.set(None);
        self.wait_for(Wait::Request, now);
        Rc::clone(requests)
    }

    /// Does something with the streams, if there are such.
    pub(super) fn streams(&self, now: Millis, with: impl FnOnce(&mut Streams)) {
        let Some((streams, _)) = self.shared.get() else { return };
        let streams = &mut *streams.borrow_mut();
        let (open, latest) = (streams.open(), streams.latest());
        with(streams);
        if streams.latest() != latest {
            self.forgive(Phase::Idle);
        }
        if streams.latest() != latest || streams.open() < open {
            self.since.set(now);
        }
    }

    /// How many streams are open: requests whose answers have not left whole.
    pub(super) fn open_streams(&self) -> usize {
        self.shared.get().map_or(0, |(streams, _)| streams.borrow().open())
    }

    /// Remembers whom to wake. The task of a connection polls it directly, so this waker stays.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn overdue(&self) -> Option<Phase> {
        self.overdue.get()
    }

    /// The client did what it was late with after all.
    pub(super) fn forgive(&self, phase: Phase) {
        if self.overdue.get() == Some(phase) {
            self.overdue.set(None);
        }
    }

    /// The connection waits for `wait`; waiting on for the same thing keeps its beginning.
    pub(super) fn wait_for(&self, wait: Wait, now: Millis) {
        if self.wait.replace(wait) != wait {
            self.since.set(now);
        }
    }

    /// Bytes of a body arrived.
    pub(super) fn body_progress(&self, bytes: usize, now: Millis) {
        if self.wait.replace(Wait::Nothing) == Wait::Body {
            self.body_waited.update(|waited| waited + now.saturating_sub(self.since.get()));
        }
        self.body_bytes.update(|total| total + bytes as u64);
        self.forgive(Phase::Body);
    }

    /// A whole head arrived: the server's turn.
    pub(super) fn head_done(&self) {
        self.used.set(true);
        self.wait.set(Wait::Nothing);
        self.overdue.set(None);
        self.body_waited.set(0);
        self.body_bytes.set(0);
    }

    /// The client took bytes, or there are none for it to take.
    pub(super) fn write_progress(&self) {
        if self.write_since.take().is_some() {
            self.forgive(Phase::Write);
        }
    }

    /// The client does not take the bytes there are.
    pub(super) fn write_stalled(&self, now: Millis) {
        if self.write_since.get().is_none() {
            self.write_since.set(Some(now));
        }
    }

    /// What is overdue at `now`, if anything.
    pub(super) fn check(&self, now: Millis, limits: &Limits, slack: Millis) -> Option<Phase> {
        let late = |since: Millis, limit: Duration| now.saturating_sub(since) >= ms(limit) + slack;
        if self.write_since.get().is_some_and(|since| late(since, limits.write_timeout)) {
            return Some(Phase::Write);
        }
        if let Some((streams, requests)) = self.shared.get()
            && streams.borrow().open() > 0
        {
            // Answers that were handed over whole are all there is, and none of them moves.
            let moved = requests.moved().max(self.since.get());
            let stuck = requests.is_empty() && late(moved, limits.write_timeout);
            return stuck.then_some(Phase::Write);
        }
        let since = self.since.get();
        match self.wait.get() {
            Wait::Nothing => None,
            Wait::Head => late(since, limits.head_timeout).then_some(Phase::Head),
            Wait::Request => late(since, limits.idle_timeout).then_some(Phase::Idle),
            Wait::Body => {
                let waited = self.body_waited.get() + now.saturating_sub(since);
                let slow = is_slow(waited, self.body_bytes.get(), limits, slack);
                slow.then_some(Phase::Body)
            }
        }
    }

    /// Fails the requests that share the connection and whose clients are too slow.
    pub(super) fn fail_slow(
        &self,
        now: Millis,
        limits: &Limits,
        slack: Millis,
        phases: &mut Vec<Phase>,
    ) {
        if let Some((_, requests)) = self.shared.get() {
            let late = |since| now.saturating_sub(since) >= ms(limits.write_timeout) + slack;
            let slow = |waited, bytes| is_slow(waited, bytes, limits, slack);
            requests.fail_slow(now, late, slow, phases);
        }
    }
}

/// Whether a body of which so many bytes came was waited for too long.
fn is_slow(waited: Millis, bytes: u64, limits: &Limits, slack: Millis) -> bool {
    let earned = bytes.saturating_mul(1000) / limits.body_rate.max(1);
    waited >= ms(limits.body_timeout).saturating_add(earned).saturating_add(slack)
}

pub(super) fn ms(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = Limits::default;

    #[test]
    fn each_phase_has_its_own_deadline_and_none_is_early() {
        for (wait, phase, limit) in [
            (Wait::Head, Phase::Head, 10_000),
            (Wait::Body, Phase::Body, 30_000),
            (Wait::Request, Phase::Idle, 60_000),
        ] {
            let state = State::new(0);
            state.wait_for(Wait::Nothing, 0);
            state.wait_for(wait, 1_000);
            state.wait_for(wait, 5_000);
            assert_eq!(state.check(1_000 + limit, &LIMITS(), 250), None, "{phase:?}");
            assert_eq!(state.check(1_250 + limit, &LIMITS(), 250), Some(phase));
        }
    }

    #[test]
    fn a_busy_server_is_never_the_clients_fault() {
        let state = State::new(0);
        state.head_done();
        assert_eq!(state.check(1_000_000, &LIMITS(), 0), None);
    }

    #[test]
    fn a_body_earns_time_by_its_rate_and_only_waiting_counts() {
        let state = State::new(0);
        state.head_done();
        state.wait_for(Wait::Body, 0);
        state.body_progress(160 * 1024, 20_000);
        // The server was at work from 20 s to 500 s.
        state.wait_for(Wait::Body, 500_000);
        assert_eq!(state.check(519_999, &LIMITS(), 0), None);
        assert_eq!(state.check(520_000, &LIMITS(), 0), Some(Phase::Body));
        // The next request begins anew, with nothing earned and nothing waited.
        state.head_done();
        state.wait_for(Wait::Body, 600_000);
        assert_eq!(state.check(629_999, &LIMITS(), 0), None);
        assert_eq!(state.check(630_000, &LIMITS(), 0), Some(Phase::Body));
    }

    #[test]
    fn a_stalled_write_counts_from_its_beginning_and_any_progress_forgives_it() {
        let state = State::new(0);
        state.head_done();
        state.write_stalled(1_000);
        state.write_stalled(20_000);
        assert_eq!(state.check(30_999, &LIMITS(), 0), None);
        assert_eq!(state.check(31_000, &LIMITS(), 0), Some(Phase::Write));
        state.write_progress();
        assert_eq!(state.check(31_000, &LIMITS(), 0), None);
    }

    #[test]
    fn a_multiplexed_connection_is_idle_from_the_end_of_its_last_stream() {
        use crate::server::frames::{DATA, END_STREAM, HEADERS, tests::frame};
        let state = State::new(0);
        state.multiplex(1_000, 0);
        state.streams(10_000, |streams| {
            streams.received(&[b'P'; 24]);
            streams.received(&frame(HEADERS, 4, 1, 20));
        });
        assert_eq!(state.check(39_999, &LIMITS(), 0), None);
        // Nobody serves it, and nothing of an answer moves.
        assert_eq!(state.check(40_000, &LIMITS(), 0), Some(Phase::Write));
        state.streams(100_000, |streams| streams.sent(&frame(DATA, END_STREAM, 1, 9)));
        assert_eq!(state.check(159_999, &LIMITS(), 0), None);
        assert_eq!(state.check(160_000, &LIMITS(), 0), Some(Phase::Idle));
    }

    #[test]
    fn what_comes_at_the_last_moment_is_taken() {
        let state = State::new(0);
        for (phase, progress) in [
            (Phase::Body, (|state| state.body_progress(1, 0)) as fn(&State)),
            (Phase::Idle, State::head_done),
            (Phase::Write, |state| {
                state.write_stalled(0);
                state.write_progress();
            }),
        ] {
            state.overdue.set(Some(phase));
            progress(&state);
            assert_eq!(state.overdue(), None, "{phase:?}");
        }
    }
}
