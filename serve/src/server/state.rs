//! What a worker knows of its open connections, and the sweep that ends the slow ones.
//!
//! No request starts a timer. A connection notes in cells what it waits for and since when, by a
//! clock that the sweep sets forward; the sweep compares, marks what is overdue and wakes it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};

use super::streams::Streams;
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
    index: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    wait: Cell<Wait>,
    since: Cell<Millis>,
    write_since: Cell<Option<Millis>>,
    body_waited: Cell<Millis>,
    body_bytes: Cell<u64>,
    overdue: Cell<Option<Phase>>,
    in_flight: Cell<usize>,
    /// Whether any request was ever begun.
    pub(super) used: Cell<bool>,
    /// Whether the service answered the latest request.
    pub(super) answered: Cell<bool>,
    /// Where requests share the connection: what each of them waits for.
    streams: RefCell<Option<Streams>>,
    next_id: Cell<u64>,
}

impl State {
    fn new(now: Millis) -> Self {
        Self {
            index: Cell::new(0),
            waker: RefCell::new(None),
            wait: Cell::new(Wait::Head),
            since: Cell::new(now),
            write_since: Cell::new(None),
            body_waited: Cell::new(0),
            body_bytes: Cell::new(0),
            overdue: Cell::new(None),
            in_flight: Cell::new(0),
            used: Cell::new(false),
            answered: Cell::new(true),
            streams: RefCell::new(None),
            next_id: Cell::new(0),
        }
    }

    /// From here on requests share the connection, which is idle when there are none.
    pub(super) fn multiplex(&self, now: Millis) {
        *self.streams.borrow_mut() = Some(Streams::new());
        self.wait_for(Wait::Request, now);
    }

    /// Does something with the streams, if there are such.
    pub(super) fn streams<T>(&self, with: impl FnOnce(&mut Streams) -> T) -> Option<T> {
        self.streams.borrow_mut().as_mut().map(with)
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
    }

    /// A whole head arrived: the server's turn.
    pub(super) fn head_done(&self) {
        self.used.set(true);
        self.wait.set(Wait::Nothing);
        self.body_waited.set(0);
        self.body_bytes.set(0);
    }

    /// The client took bytes, or there are none for it to take.
    pub(super) fn write_progress(&self) {
        self.write_since.set(None);
    }

    /// The client does not take the bytes there are.
    pub(super) fn write_stalled(&self, now: Millis) {
        if self.write_since.get().is_none() {
            self.write_since.set(Some(now));
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// What is overdue at `now`, if anything.
    fn check(&self, now: Millis, limits: &Limits, slack: Millis) -> Option<Phase> {
        let late = |since: Millis, limit: Duration| now.saturating_sub(since) >= ms(limit) + slack;
        let slow_body = |waited: Millis, bytes: u64| {
            let earned = bytes.saturating_mul(1000) / limits.body_rate.max(1);
            waited >= ms(limits.body_timeout).saturating_add(earned).saturating_add(slack)
        };
        if self.write_since.get().is_some_and(|since| late(since, limits.write_timeout)) {
            return Some(Phase::Write);
        }
        if let Some(streams) = self.streams.borrow().as_ref()
            && self.in_flight.get() > 0
        {
            if streams.reads_slowly(|since| late(since, limits.write_timeout)) {
                return Some(Phase::Write);
            }
            let slow =
                streams.uploads_slowly(|since, bytes| slow_body(now.saturating_sub(since), bytes));
            return slow.then_some(Phase::Body);
        }
        let since = self.since.get();
        match self.wait.get() {
            Wait::Nothing => None,
            Wait::Head => late(since, limits.head_timeout).then_some(Phase::Head),
            Wait::Request => late(since, limits.idle_timeout).then_some(Phase::Idle),
            Wait::Body => {
                let waited = self.body_waited.get() + now.saturating_sub(since);
                slow_body(waited, self.body_bytes.get()).then_some(Phase::Body)
            }
        }
    }
}

fn ms(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

/// A request that is being served; counted until its answer is done with.
#[derive(Debug)]
pub(super) struct InFlight {
    state: Rc<State>,
    clock: Rc<Clock>,
    id: u64,
}

impl InFlight {
    pub(super) fn begin(state: &Rc<State>, clock: &Rc<Clock>) -> Self {
        state.used.set(true);
        state.answered.set(false);
        state.in_flight.update(|n| n + 1);
        state.next_id.update(|id| id + 1);
        Self { state: Rc::clone(state), clock: Rc::clone(clock), id: state.next_id.get() }
    }

    /// The answer gave a piece of itself: it is the client's turn to ask for the next.
    pub(super) fn gave(&self) {
        self.state.streams(|streams| streams.client_turn(self.id, self.clock.now()));
    }

    /// The answer was asked for a piece and has none yet.
    pub(super) fn asked(&self) {
        self.state.streams(|streams| streams.server_turn(self.id));
    }

    pub(super) fn answered(&self) {
        self.state.answered.set(true);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.in_flight.update(|n| n - 1);
        let multiplexed = self.state.streams(|streams| streams.server_turn(self.id)).is_some();
        if multiplexed && self.state.in_flight.get() == 0 {
            self.state.wait.set(Wait::Request);
            self.state.since.set(self.clock.now());
        }
    }
}

/// The time, as of the last tick.
#[derive(Debug, Default)]
pub(super) struct Clock(Cell<Millis>);

impl Clock {
    pub(super) fn now(&self) -> Millis {
        self.0.get()
    }
}

/// The open connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: RefCell<Vec<Rc<State>>>,
    emptied: tokio::sync::Notify,
}

impl Registry {
    /// Adds a connection; it leaves when the guard drops.
    pub(super) fn enter(self: &Rc<Self>, clock: &Clock) -> Entry {
        let state = Rc::new(State::new(clock.now()));
        let mut open = self.open.borrow_mut();
        state.index.set(open.len());
        open.push(Rc::clone(&state));
        Entry { registry: Rc::clone(self), state }
    }

    pub(super) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Resolves when no connection is open.
    pub(super) async fn empty(&self) {
        while self.len() > 0 {
            self.emptied.notified().await;
        }
    }

    pub(super) fn wake_all(&self) {
        for state in self.open.borrow().iter() {
            state.wake();
        }
    }

    /// Sets the clock and wakes the connections that became overdue.
    pub(super) fn sweep(&self, clock: &Clock, now: Duration, limits: &Limits) -> Vec<Phase> {
        let now = ms(now);
        clock.0.set(now);
        let slack = ms(limits.tick());
        let mut overdue = Vec::new();
        for state in self.open.borrow().iter().filter(|state| state.overdue.get().is_none()) {
            if let Some(phase) = state.check(now, limits, slack) {
                state.overdue.set(Some(phase));
                state.wake();
                overdue.push(phase);
            }
        }
        overdue
    }
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(super) struct Entry {
    registry: Rc<Registry>,
    pub(super) state: Rc<State>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.registry.open.borrow_mut();
        let index = self.state.index.get();
        open.swap_remove(index);
        if let Some(moved) = open.get(index) {
            moved.index.set(index);
        }
        if open.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
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
    fn a_multiplexed_connection_is_idle_from_the_end_of_its_last_request() {
        let (registry, clock) = (Rc::new(Registry::default()), Rc::new(Clock::default()));
        let entry = registry.enter(&clock);
        entry.state.multiplex(0);
        let first = InFlight::begin(&entry.state, &clock);
        clock.0.set(100_000);
        assert_eq!(entry.state.check(100_000, &LIMITS(), 0), None);
        drop(first);
        assert_eq!(entry.state.check(159_999, &LIMITS(), 0), None);
        assert_eq!(entry.state.check(160_000, &LIMITS(), 0), Some(Phase::Idle));
    }

    #[test]
    fn connections_leave_the_registry_in_any_order() {
        let (registry, clock) = (Rc::new(Registry::default()), Clock::default());
        let mut entries: Vec<_> = (0..5).map(|_| registry.enter(&clock)).collect();
        entries.remove(1);
        entries.remove(3);
        entries.remove(0);
        assert_eq!(registry.len(), 2);
        for (index, state) in registry.open.borrow().iter().enumerate() {
            assert_eq!(state.index.get(), index);
        }
        drop(entries);
        assert_eq!(registry.len(), 0);
    }
}
