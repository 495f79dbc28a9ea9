//! A coarse clock on which many wait at once.
use std::{
    sync::{Arc, Weak},
    task::{Context, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

/// How coarse it is: one passes between a time and two of these later.
pub const TICK: Duration = Duration::from_millis(25);

/// Ticks for which the clock goes on when nobody waits: stopping it and starting it again costs more.
const REST: u32 = 40;

const NEVER: u64 = u64::MAX;

/// Wakes those who have waited long enough, without a timer for each of them. Clones are the same clock.
///
/// Somebody has to [drive](Self::drive) it. It counts how often that task was woken, not what time it is: where the whole
/// thread stood still, for want of a processor or because the machine slept, nobody has waited any longer for it.
#[derive(Clone, Debug, Default)]
pub struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    slots: Vec<Slot>,
    free: Vec<usize>,
    is_going: bool,
    /// Ticks since somebody last came.
    quiet: u32,
}

#[derive(Debug)]
struct Slot {
    due: u64,
    // Left behind by whoever waited here before: often it is the same task that comes next.
    waker: Option<Waker>,
}

impl Ticker {
    /// A clock that nobody drives yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it go, until the last clone of it is gone. To be spawned on the thread that those who wait run on.
    ///
    /// Cancel safety: dropping it stops the clock; another call makes it go on.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let (shared, wanted) = (Arc::downgrade(&self.shared), Arc::clone(&self.shared.wanted));
        drive(shared, wanted)
    }

    /// Begins to wait.
    pub(super) fn watch(&self, wait: Duration, cx: &mut Context<'_>) -> Watch {
        let mut state = self.shared.state.lock();
        let index = state.free.pop().unwrap_or(state.slots.len());
        if index == state.slots.len() {
            state.slots.push(Slot { due: NEVER, waker: None });
        }
        let since = state.now;
        let slot = &mut state.slots[index];
        slot.due = since.saturating_add(ticks(wait));
        let old = slot.note(cx);
        state.quiet = 0;
        let must_start = !std::mem::replace(&mut state.is_going, true);
        drop(state);
        if must_start {
            self.shared.wanted.notify_one();
        }
        // Dropping a waker may run anything, so the lock is not held.
        drop(old);
        Watch { ticker: self.clone(), index, since }
    }

    /// Moves on and wakes who is due. Whether it is to go on.
    fn advance(&self) -> bool {
        let (mut due, mut stale) = (Vec::new(), Vec::new());
        let mut state = self.shared.state.lock();
        state.now += 1;
        let now = state.now;
        for slot in &mut state.slots {
            if slot.due <= now {
                due.extend(slot.waker.take());
            } else if slot.due == NEVER {
                stale.extend(slot.waker.take());
            }
        }
        state.quiet += 1;
        if state.free.len() < state.slots.len() {
            state.quiet = 0;
        }
        state.is_going = state.quiet < REST;
        let goes_on = state.is_going;
        drop(state);
        drop(stale);
        due.into_iter().for_each(Waker::wake);
        goes_on
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever drives it may go.
        self.wanted.notify_one();
    }
}

async fn drive(shared: Weak<Shared>, wanted: Arc<Notify>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let goes_on = Ticker { shared }.advance();
        if !goes_on {
            wanted.notified().await;
            ticks.reset();
        }
    }
}

fn ticks(wait: Duration) -> u64 {
    let nanos = u64::from(TICK.subsec_nanos());
    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    // One more, since the current tick is partly over.
    wait.div_ceil(nanos) + 1
}

impl Slot {
    /// Notes whom to wake; answers whom it woke before.
    fn note(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known { None } else { self.waker.replace(cx.waker().clone()) }
    }
}

/// One who waits, until dropped.
#[derive(Debug)]
pub(super) struct Watch {
    ticker: Ticker,
    index: usize,
    since: u64,
}

impl Watch {
    /// Whether it is over; if not, wakes the task when it is.
    pub(super) fn is_over(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.ticker.shared.state.lock();
        let now = state.now;
        let slot = &mut state.slots[self.index];
        if slot.due <= now {
            return true;
        }
        let old = slot.note(cx);
        drop(state);
        drop(old);
        false
    }

    /// Waits again, from now.
    pub(super) fn again(&self, wait: Duration, cx: &mut Context<'_>) {
        let mut state = self.ticker.shared.state.lock();
        let due = state.now.saturating_add(ticks(wait));
        let slot = &mut state.slots[self.index];
        slot.due = due;
        let old = slot.note(cx);
        drop(state);
        drop(old);
    }

    /// Is never over any more.
    pub(super) fn give_up(&self) {
        self.ticker.shared.state.lock().slots[self.index].due = NEVER - 1;
    }

    /// How long it has lasted, rounded down.
    pub(super) fn lasted(&self) -> Duration {
        let ticks = self.ticker.shared.state.lock().now - self.since;
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.ticker.shared.state.lock();
        state.slots[self.index].due = NEVER;
        state.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio_test::{assert_pending, task};

    use super::*;

    /// Someone who waits `ticks` of them.
    fn waiting(ticker: &Ticker, ticks: u32) -> task::Spawn<impl Future<Output = ()> + use<>> {
        let (ticker, mut watch) = (ticker.clone(), None);
        let mut waiting = task::spawn(std::future::poll_fn(move |cx| {
            let watch = watch.get_or_insert_with(|| ticker.watch(TICK * ticks, cx));
            if watch.is_over(cx) { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert_pending!(waiting.poll());
        waiting
    }

    #[test]
    fn wakes_no_earlier_than_asked_and_at_most_two_ticks_later() {
        let ticker = Ticker::new();
        let mut waiting = waiting(&ticker, 2);
        for _ in 0..2 {
            ticker.advance();
            assert!(!waiting.is_woken());
        }
        ticker.advance();
        assert!(waiting.is_woken() && waiting.poll().is_ready());
    }

    #[test]
    fn a_place_is_used_again_and_those_who_left_are_not_woken() {
        let ticker = Ticker::new();
        drop(waiting(&ticker, 1));
        let mut second = waiting(&ticker, 5);
        assert_eq!(ticker.shared.state.lock().slots.len(), 1);
        for _ in 0..4 {
            ticker.advance();
        }
        assert!(!second.is_woken() && second.poll().is_pending());
    }

    #[test]
    fn it_remembers_nobody_for_longer_than_a_tick() {
        let ticker = Ticker::new();
        drop(waiting(&ticker, 1));
        ticker.advance();
        assert!(ticker.shared.state.lock().slots[0].waker.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_when_nobody_waits_and_goes_on_for_the_next() {
        let ticker = Ticker::new();
        let driver = tokio::spawn(ticker.drive());
        let wait = |ticks| {
            let (ticker, mut watch) = (ticker.clone(), None);
            std::future::poll_fn(move |cx| {
                let watch = watch.get_or_insert_with(|| ticker.watch(TICK * ticks, cx));
                if watch.is_over(cx) { Poll::Ready(watch.lasted()) } else { Poll::Pending }
            })
        };
        assert_eq!(wait(3).await, TICK * 4);
        tokio::time::sleep(TICK * REST * 3).await;
        let resting = ticker.shared.state.lock().now;
        tokio::time::sleep(TICK * REST).await;
        assert_eq!(ticker.shared.state.lock().now, resting);
        wait(3).await;
        tokio::time::sleep(TICK * REST * 3).await;
        drop(ticker);
        driver.await.expect("it ends with the clock");
    }
}
