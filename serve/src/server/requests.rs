//! The requests that share an HTTP/2 connection: what each of them waits for, and how much of
//! their answers is held.
//!
//! It is the client's turn from when an answer has given a piece until it is asked for the next,
//! anew with every byte that leaves. A request whose client is too slow fails alone.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pin_project_lite::pin_project;

use super::{
    piece::Piece,
    registry::Clock,
    state::{Millis, State},
    upload::Upload,
};
use crate::limits::Phase;

/// Leaves of other answers that a client may be sent before one that waits, beyond what was held.
const ALLOWANCE: u64 = 64 * 1024;

/// Those of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    served: RefCell<Vec<Rc<Request>>>,
    /// The one whose task is to be started.
    begun: RefCell<Option<Served>>,
    /// Those that may hold no more until others hold less.
    waiting: RefCell<VecDeque<Rc<Request>>>,
    held: Cell<usize>,
    /// Bytes of answers that may be held.
    room: usize,
    /// Bytes of answers that have left.
    taken: Cell<u64>,
    /// When the last of them did, or a request began or was done with.
    moved: Cell<Millis>,
}

impl Requests {
    pub(super) fn new(room: usize, now: Millis) -> Rc<Self> {
        Rc::new(Self {
            served: RefCell::default(),
            begun: RefCell::default(),
            waiting: RefCell::default(),
            held: Cell::new(0),
            room,
            taken: Cell::new(0),
            moved: Cell::new(now),
        })
    }

    /// Whether none is being served. Answers that were handed over whole may be on their way yet.
    pub(super) fn is_empty(&self) -> bool {
        self.served.borrow().is_empty()
    }

    /// When anything moved last.
    pub(super) fn moved(&self) -> Millis {
        self.moved.get()
    }

    /// Fails the requests whose clients are too slow: those that let their answers wait for what
    /// `late` calls late, and those whose uploads waited for so long with so many bytes that
    /// `slow` calls them slow. Tells of each in `phases`.
    pub(super) fn fail_slow(
        &self,
        now: Millis,
        late: impl Fn(Millis) -> bool,
        slow: impl Fn(Millis, u64) -> bool,
        phases: &mut Vec<Phase>,
    ) {
        for request in self.served.borrow().iter() {
            if !request.late.get() && request.is_read_slowly(&late) {
                request.late.set(true);
                request.wake();
                phases.push(Phase::Write);
            }
            if request.upload.fails(now, &slow) {
                phases.push(Phase::Body);
            }
        }
    }

    /// The one that began last, for whoever runs it.
    pub(super) fn take_begun(&self) -> Option<Served> {
        self.begun.take()
    }

    /// Lets the next go on that waits for room.
    fn wake_next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(request) = next {
            request.waits.set(false);
            request.wake();
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Request {
    state: Rc<State>,
    clock: Rc<Clock>,
    all: Rc<Requests>,
    /// Its place among those that are served.
    index: Cell<usize>,
    task: RefCell<Option<Waker>>,
    /// Bytes of its answer that were given and have not left.
    held: Cell<usize>,
    /// Since when it is the client's turn.
    turn: Cell<Option<Millis>>,
    /// How many bytes have to leave on the connection before it is the stream that stands still.
    patience: Cell<u64>,
    /// Whether it waits for room.
    waits: Cell<bool>,
    late: Cell<bool>,
    pub(super) upload: Upload,
}

impl Request {
    pub(super) fn begin(state: &Rc<State>, clock: &Rc<Clock>, all: &Rc<Requests>) -> Rc<Self> {
        let request = Rc::new(Self {
            state: Rc::clone(state),
            clock: Rc::clone(clock),
            all: Rc::clone(all),
            index: Cell::new(all.served.borrow().len()),
            task: RefCell::default(),
            held: Cell::new(0),
            turn: Cell::new(None),
            patience: Cell::new(0),
            waits: Cell::new(false),
            late: Cell::new(false),
            upload: Upload::default(),
        });
        all.moved.set(clock.now());
        all.served.borrow_mut().push(Rc::clone(&request));
        // What is replaced ends here, so nothing may be borrowed meanwhile.
        drop(all.begun.replace(Some(Served(Rc::clone(&request)))));
        request
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// The answer gave `bytes`: it is the client's turn to take them.
    pub(super) fn gave(self: &Rc<Self>, bytes: Bytes) -> Piece {
        self.held.update(|held| held + bytes.len());
        self.all.held.update(|held| held + bytes.len());
        self.turn_over();
        Piece::new(bytes, Rc::clone(self))
    }

    /// The answer was asked for a piece and has none yet.
    pub(super) fn asked(&self) {
        self.turn.set(None);
    }

    /// Whether the answer has to wait with its next piece, because the connection holds as much as
    /// it may. One that holds nothing never has to: others may be held up for as long as they are.
    pub(super) fn has_to_wait(self: &Rc<Self>) -> bool {
        let waits = self.held.get() > 0 && self.all.held.get() >= self.all.room;
        if waits && !self.waits.replace(true) {
            self.all.waiting.borrow_mut().push_back(Rc::clone(self));
        }
        waits
    }

    /// `n` bytes of the answer left.
    pub(super) fn took(&self, n: usize) {
        self.all.taken.update(|taken| taken + n as u64);
        self.all.moved.set(self.clock.now());
        self.state.forgive(Phase::Write);
        if self.turn.get().is_some() {
            self.turn_over();
        }
        self.release(n);
    }

    /// `n` bytes of the answer are held no more.
    pub(super) fn release(&self, n: usize) {
        self.held.update(|held| held - n);
        self.all.held.update(|held| held - n);
        if self.waits.get() && self.held.get() == 0 {
            self.wake();
        }
        if self.all.held.get() < self.all.room {
            self.all.wake_next();
        }
    }

    /// From here on the client may take its time. The connection is shared fairly: what was held
    /// of others goes first, and this is next at the latest when that has left twice.
    fn turn_over(&self) {
        self.turn.set(Some(self.clock.now()));
        self.patience.set(self.all.taken.get() + 2 * self.all.held.get() as u64 + ALLOWANCE);
    }

    fn is_read_slowly(&self, late: impl Fn(Millis) -> bool) -> bool {
        let all_stands = || late(self.all.moved.get());
        let it_stands = || self.all.taken.get() >= self.patience.get();
        self.turn.get().is_some_and(&late) && (all_stands() || it_stands())
    }
}

/// A request that is being served, until it drops.
#[derive(Debug)]
pub(super) struct Served(Rc<Request>);

impl Drop for Served {
    fn drop(&mut self) {
        let all = &self.0.all;
        all.moved.set(self.0.clock.now());
        let mut served = all.served.borrow_mut();
        let index = self.0.index.get();
        served.swap_remove(index);
        if let Some(moved) = served.get(index) {
            moved.index.set(index);
        }
        if self.0.waits.get() {
            all.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.0));
        }
    }
}

pin_project! {
    /// Serves a request for as long as its client is not too slow. When it ends before the answer,
    /// the stream is reset.
    pub(super) struct Serving<Fut> {
        #[pin]
        future: Fut,
        served: Option<Served>,
    }
}

impl<Fut> Serving<Fut> {
    /// Whatever else there is to run has no request.
    pub(super) fn new(future: Fut, served: Option<Served>) -> Self {
        Self { future, served }
    }
}

impl<Fut: Future> Future for Serving<Fut> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(Served(request)) = this.served {
            if request.late.get() {
                return Poll::Ready(());
            }
            let mut task = request.task.borrow_mut();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        this.future.poll(cx).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;

    use super::*;

    const ROOM: usize = 100_000;

    type Two = [Rc<Request>; 2];

    /// The requests of a connection with two, which are served as long as the last is there.
    fn two() -> (Rc<Requests>, Rc<Clock>, Two, [Option<Served>; 2]) {
        let (state, clock) = (Rc::new(State::new(0)), Rc::new(Clock::default()));
        let all = state.multiplex(ROOM, 0);
        let begin = || (Request::begin(&state, &clock, &all), all.take_begun());
        let ((a, served_a), (b, served_b)) = (begin(), begin());
        (Rc::clone(&all), clock, [a, b], [served_a, served_b])
    }

    fn piece(of: &Rc<Request>, bytes: usize) -> Piece {
        of.gave(Bytes::from(vec![0; bytes]))
    }

    /// Which of the requests are late when 30 s are.
    fn slow(all: &Requests, clock: &Clock) -> Vec<bool> {
        let (now, mut phases) = (clock.now(), Vec::new());
        all.fail_slow(now, |since| now - since >= 30_000, |_, _| false, &mut phases);
        all.served.borrow().iter().map(|request| request.late.get()).collect()
    }

    #[test]
    fn an_answer_whose_turn_has_not_come_is_not_late_and_one_that_stands_still_is() {
        let (all, clock, [a, b], _served) = two();
        let (_stuck, mut moving) = (piece(&a, 50_000), piece(&b, 500_000));
        for second in 1..=40 {
            clock.advance(second * 1_000, 1_000);
            moving.advance(3_000);
        }
        assert_eq!(slow(&all, &clock), [false, false], "120 KB left, and 50 KB were held before");
        moving.advance(300_000);
        assert_eq!(slow(&all, &clock), [true, false]);
    }

    #[test]
    fn where_nothing_moves_all_that_wait_are_late_but_not_those_that_are_asked() {
        let (all, clock, [a, b], _served) = two();
        let _pieces = (piece(&a, 10), piece(&b, 10));
        b.asked();
        clock.advance(29_999, 29_999);
        assert_eq!(slow(&all, &clock), [false, false]);
        clock.advance(30_000, 1);
        assert_eq!(slow(&all, &clock), [true, false]);
    }

    #[test]
    fn only_one_that_holds_something_waits_for_room_and_what_is_dropped_gives_it_back() {
        let (all, _, [a, b], _served) = two();
        let (large, small) = (piece(&a, ROOM), piece(&b, 1));
        assert!(a.has_to_wait() && b.has_to_wait());
        drop(small);
        assert!(!b.has_to_wait(), "it holds nothing");
        assert_eq!(all.held.get(), ROOM);
        drop(large);
        assert!(!a.has_to_wait());
        assert_eq!((all.held.get(), all.taken.get()), (0, 0));
    }

    #[test]
    fn requests_leave_in_any_order() {
        let (all, _, [_, b], [served_a, served_b]) = two();
        drop(served_a);
        assert!(Rc::ptr_eq(&all.served.borrow()[0], &b) && b.index.get() == 0);
        drop(served_b);
        assert!(all.is_empty());
    }
}
