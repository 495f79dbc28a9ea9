//! Real stores in simulated time.
//!
//! The stores here work without threads of their own ([`Options::inline`](kamaitachi_node::store::Options::inline)). Copies
//! are made and taken in by threads all the same, and the clock of a simulation goes on as soon as nobody has anything to
//! do: how late an answer comes would be left to the machine. So no host waits while that goes on: [`now`] holds the thread until a
//! future is done, [`Undivided`] while a copy is
//! taken in, and [`Still`] does so for whatever a future has asked of a store before it lets time pass.
//! How often a future is polled is left to chance even so: whatever polls several does it in a fixed order.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use kamaitachi_node::store::Store;
use parking_lot::Mutex;

/// Waits for a future that threads work for.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(tokio::task::coop::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A future that, while `busy`, waits for nothing but threads; it is polled until it is not any more.
pub(crate) struct Undivided<F> {
    pub(crate) inner: Pin<Box<F>>,
    pub(crate) busy: Arc<AtomicBool>,
}

impl<F: Future> Future for Undivided<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            let polled = pin!(tokio::task::coop::unconstrained(self.inner.as_mut())).poll(cx);
            if polled.is_ready() || !self.busy.load(Relaxed) {
                return polled;
            }
            thread::sleep(Duration::from_micros(50));
        }
    }
}

/// A future that may ask the store of the slot.
pub(crate) struct Still<F> {
    inner: Pin<Box<F>>,
    slot: Arc<Mutex<Option<Store>>>,
}

impl<F> Still<F> {
    pub(crate) fn new(inner: F, slot: &Arc<Mutex<Option<Store>>>) -> Self {
        Self { inner: Box::pin(inner), slot: Arc::clone(slot) }
    }
}

impl<F: Future> Future for Still<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.inner.as_mut().poll(cx);
        let store = self.slot.lock().clone();
        if let (Poll::Pending, Some(store)) = (&polled, store) {
            // Whatever was asked before has been answered when these are, by one writer and one reader. The first is
            // refused: it is no change.
            let _ = now(store.apply(Vec::new()));
            let _ = now(store.read(Vec::new()));
        }
        polled
    }
}
