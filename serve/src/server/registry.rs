//! The open connections of a worker, its clock, and the sweep that ends the slow ones.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::state::{Millis, State, ms};
use crate::limits::{Limits, Phase};

/// The time, as of the last tick.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Cell<Millis>,
    /// What the system's clock said then.
    seen: Cell<Millis>,
}

impl Clock {
    pub(super) fn now(&self) -> Millis {
        self.now.get()
    }

    /// Follows the system's clock to `seen`, by at most `most`: what goes beyond is time in which the server stood
    /// still, which is not its clients' fault.
    pub(super) fn advance(&self, seen: Millis, most: Millis) {
        let passed = seen.saturating_sub(self.seen.replace(seen));
        self.now.update(|now| now + passed.min(most));
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

    /// Sets the clock, and wakes the connections and requests that became overdue: what each of them was late with.
    pub(super) fn sweep(&self, clock: &Clock, now: Duration, limits: &Limits) -> Vec<Phase> {
        let slack = ms(limits.tick());
        clock.advance(ms(now), 2 * slack);
        let now = clock.now();
        let mut overdue = Vec::new();
        for state in self.open.borrow().iter() {
            if state.overdue.get().is_none()
                && let Some(phase) = state.check(now, limits, slack)
            {
                state.overdue.set(Some(phase));
                state.wake();
                overdue.push(phase);
            }
            // What ends takes its requests along.
            if state.overdue.get().is_none() {
                state.fail_slow(now, limits, slack, &mut overdue);
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

    #[test]
    fn time_in_which_the_server_stood_still_is_not_charged() {
        let (registry, clock, limits) =
            (Rc::new(Registry::default()), Clock::default(), Limits::default());
        let entry = registry.enter(&clock);
        let sweep = |ms| registry.sweep(&clock, Duration::from_millis(ms), &limits);
        assert_eq!(sweep(250), []);
        assert_eq!(sweep(1_000_000), []);
        assert_eq!(clock.now(), 750);
        for tick in 1..=37 {
            assert_eq!(sweep(1_000_000 + tick * 250), [], "{tick}");
        }
        assert_eq!(sweep(1_009_500), [Phase::Head]);
        assert_eq!(entry.state.overdue(), Some(Phase::Head));
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
