//! Time-outs without timers: one ticker a worker looks after all of them.
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

/// How coarse upstream time-outs are: one passes between its value and this much later.
pub const TICK: Duration = Duration::from_millis(200);

/// A length of time in ticks, rounded so that it is never shorter than asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks(u64);

impl Ticks {
    pub(super) fn of(time: Duration) -> Self {
        // One more, since the current tick is partly over.
        let ticks = time.as_nanos().div_ceil(TICK.as_nanos()) + 1;
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// A worker's time, counted in ticks, and the deadlines that wait for it.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    now: Cell<u64>,
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    due: u64,
    waker: Option<Waker>,
}

const NEVER: u64 = u64::MAX;

impl Clock {
    pub(super) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self { began: now, now: Cell::new(0), slots: RefCell::default() })
    }

    /// The current tick.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Whether `length` has passed since the tick `since`.
    pub(super) fn is_past(&self, since: u64, length: Ticks) -> bool {
        self.now() >= since.saturating_add(length.0)
    }

    /// A deadline that is not set.
    pub(super) fn deadline(self: &Rc<Self>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let slot = Slot { due: NEVER, waker: None };
        let index = if let Some(index) = slots.free.pop() {
            slots.all[index] = slot;
            index
        } else {
            slots.all.push(slot);
            slots.all.len() - 1
        };
        Deadline { clock: Rc::clone(self), index }
    }

    /// Moves on to `now` and wakes who waits for what is over.
    pub(super) fn advance(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.began).as_nanos() / TICK.as_nanos();
        let now = u64::try_from(ticks).unwrap_or(NEVER - 1);
        self.now.set(now);
        let over: Vec<Waker> = {
            let mut slots = self.slots.borrow_mut();
            slots.all.iter_mut().filter(|s| s.due <= now).filter_map(|s| s.waker.take()).collect()
        };
        // A waker may run anything, so nothing is borrowed here.
        over.into_iter().for_each(Waker::wake);
    }
}

/// One deadline, to be set and set again. Frees its place when dropped.
#[derive(Debug)]
pub(super) struct Deadline {
    clock: Rc<Clock>,
    index: usize,
}

impl Deadline {
    /// Is over `length` from now.
    pub(super) fn set(&self, length: Ticks) {
        let due = self.clock.now().saturating_add(length.0);
        self.clock.slots.borrow_mut().all[self.index].due = due;
    }

    /// Is over `length` from now, unless it was set before.
    pub(super) fn set_if_unset(&self, length: Ticks) {
        let due = self.clock.now().saturating_add(length.0);
        let mut slots = self.clock.slots.borrow_mut();
        let slot = &mut slots.all[self.index];
        if slot.due == NEVER {
            slot.due = due;
        }
    }

    /// Is never over.
    pub(super) fn unset(&self) {
        self.clock.slots.borrow_mut().all[self.index].due = NEVER;
    }

    /// Whether it is over; if not, wakes the task when it is.
    pub(super) fn is_over(&self, cx: &mut Context<'_>) -> bool {
        let mut slots = self.clock.slots.borrow_mut();
        let slot = &mut slots.all[self.index];
        if slot.due <= self.clock.now() {
            return true;
        }
        let unchanged = slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let old = if unchanged { None } else { slot.waker.replace(cx.waker().clone()) };
        // Dropping a waker may run anything, so nothing is borrowed then.
        drop(slots);
        drop(old);
        false
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.clock.slots.borrow_mut();
        let old = std::mem::replace(&mut slots.all[self.index], Slot { due: NEVER, waker: None });
        slots.free.push(self.index);
        drop(slots);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::task;

    use super::*;

    /// A clock and a hand to move it.
    fn clock() -> (Rc<Clock>, impl Fn(u32)) {
        let began = Instant::now();
        let clock = Clock::new(began);
        let moved = Rc::clone(&clock);
        (clock, move |ticks| moved.advance(began + TICK * ticks))
    }

    /// A task that ends when `deadline` is over.
    fn waiting(deadline: &Deadline) -> task::Spawn<impl Future<Output = ()> + '_> {
        task::spawn(std::future::poll_fn(|cx| {
            if deadline.is_over(cx) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }))
    }

    #[test]
    fn is_over_no_earlier_than_asked_and_at_most_a_tick_later() {
        let (clock, advance) = clock();
        let deadline = clock.deadline();
        deadline.set(Ticks::of(TICK * 5));
        let mut wait = waiting(&deadline);
        assert!(wait.poll().is_pending());
        // Set late in a tick, five whole ones are not yet over at the fifth.
        advance(5);
        assert!(!wait.is_woken());
        advance(6);
        assert!(wait.is_woken());
        assert!(wait.poll().is_ready());
    }

    #[test]
    fn one_that_was_set_again_or_unset_wakes_nobody() {
        let (clock, advance) = clock();
        let (again, unset) = (clock.deadline(), clock.deadline());
        for deadline in [&again, &unset] {
            deadline.set(Ticks::of(TICK));
        }
        let (mut wait_again, mut wait_unset) = (waiting(&again), waiting(&unset));
        assert!(wait_again.poll().is_pending() && wait_unset.poll().is_pending());
        advance(1);
        again.set(Ticks::of(TICK * 2));
        unset.unset();
        advance(3);
        assert!(!wait_again.is_woken() && !wait_unset.is_woken());
        again.set_if_unset(Ticks::of(TICK * 10));
        advance(4);
        assert!(wait_again.is_woken());
    }

    #[test]
    fn a_place_is_used_again_and_remembers_nothing() {
        let (clock, advance) = clock();
        let old = clock.deadline();
        old.set(Ticks::of(TICK));
        drop(old);
        let new = clock.deadline();
        assert_eq!(clock.slots.borrow().all.len(), 1);
        advance(100);
        assert!(waiting(&new).poll().is_pending());
    }

    #[test]
    fn a_stall_of_the_worker_is_counted_in_full() {
        let (clock, advance) = clock();
        let deadline = clock.deadline();
        deadline.set(Ticks::of(TICK * 50));
        advance(1_000);
        assert!(waiting(&deadline).poll().is_ready());
    }
}
