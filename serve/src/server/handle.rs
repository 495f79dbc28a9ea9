//! The outside of a running server.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::sync::{mpsc, watch};

use super::worker::Order;
use crate::limits::Counters;

/// What became of a server's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy at the deadline, and were cut.
    pub cut: usize,
    /// Workers that had panicked.
    pub panicked: usize,
}

/// A running server. Dropping it stops the server at once.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    counters: Arc<Counters>,
    orders: watch::Sender<Order>,
    threads: Vec<thread::JoinHandle<usize>>,
    ended: mpsc::UnboundedReceiver<()>,
    ends: Option<mpsc::UnboundedSender<()>>,
}

impl Handle {
    pub(super) fn new(
        address: SocketAddr,
        counters: Arc<Counters>,
        orders: watch::Sender<Order>,
    ) -> Self {
        let (ends, ended) = mpsc::unbounded_channel();
        Self { address, counters, orders, threads: Vec::new(), ended, ends: Some(ends) }
    }

    pub(super) fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce() -> usize + Send + 'static,
    ) -> io::Result<()> {
        /// Tells, also by a panic, that the thread has ended.
        struct End(mpsc::UnboundedSender<()>);
        impl Drop for End {
            fn drop(&mut self) {
                // Nobody listens any more where the handle was dropped.
                let _ = self.0.send(());
            }
        }
        let end = self.ends.clone().map(End);
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _end = end;
            work()
        })?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn workers(&self) -> usize {
        self.threads.len()
    }

    /// The address it listens on, with the port that 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its counts, which outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Resolves when a worker ends that was not told to: it panicked. Cancel safe.
    pub async fn failed(&mut self) {
        // We keep a sender ourselves, so this never resolves for want of one.
        self.ended.recv().await;
    }

    /// Stops accepting (what already waits to be accepted still is), closes idle connections,
    /// finishes what is in flight and tells its clients that the connection closes; cuts what is
    /// left after `deadline`. Dropping the future stops the server at once.
    pub async fn drain(self, deadline: Duration) -> Drained {
        self.drain_until(tokio::time::sleep(deadline)).await
    }

    /// [`drain`](Self::drain) with a deadline that is whenever `cut` resolves.
    pub async fn drain_until(mut self, cut: impl Future<Output = ()>) -> Drained {
        self.order(Order::Drain);
        self.ends = None;
        tokio::select! {
            biased;
            () = Self::all_ended(&mut self.ended) => {}
            () = cut => {
                self.order(Order::Stop);
                Self::all_ended(&mut self.ended).await;
            }
        }
        self.join()
    }

    /// Cuts every connection, and waits until the workers are gone.
    pub async fn stop(self) -> Drained {
        self.drain(Duration::ZERO).await
    }

    async fn all_ended(ended: &mut mpsc::UnboundedReceiver<()>) {
        while ended.recv().await.is_some() {}
    }

    fn order(&self, order: Order) {
        // Every worker may have ended by itself.
        let _ = self.orders.send(order);
    }

    fn join(&mut self) -> Drained {
        let mut drained = Drained::default();
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(cut) => drained.cut += cut,
                Err(_) => drained.panicked += 1,
            }
        }
        drained
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.order(Order::Stop);
    }
}
