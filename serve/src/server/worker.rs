//! One worker: a thread with its own runtime, listener and connections.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response};
use http_body::Body;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tower::{BoxError, Service};
use tracing::{debug, warn};

use super::{
    Connection, Incoming, WorkerId,
    admission::Admission,
    connection,
    date::Date,
    refuse::Turned,
    registry::{Clock, Registry},
    state::Millis,
};
use crate::limits::{Counters, Limits};

/// How long a drained connection on which nothing is under way is given for one more request, whose answer says that the
/// connection ends: who is about to send on it would otherwise lose what it sends.
const GRACE: Millis = 300;
/// Bytes read from a socket at a time, at most.
const SCRATCH: usize = 64 * 1024;
/// Accepting goes on after this long where it failed, and up to this long where it fails again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What the worker is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    Drain,
    Stop,
}

/// What the connections of a worker share. Never leaves its thread.
pub(super) struct Shared {
    pub(super) clock: Rc<Clock>,
    pub(super) date: Date,
    pub(super) registry: Rc<Registry>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) limits: Arc<Limits>,
    pub(super) counters: Arc<Counters>,
    pub(super) protocols: connection::Protocols,
    /// Maps and a buffer that no answer needs any more.
    pub(super) maps: RefCell<Vec<(HeaderMap, Extensions)>>,
    pub(super) buffer: Cell<Vec<u8>>,
    draining_since: Cell<Option<Millis>>,
}

impl Shared {
    /// Whether the server is on its way out.
    pub(super) fn draining(&self) -> bool {
        self.draining_since.get().is_some()
    }

    /// Whether connections on which nothing is under way have had their chance.
    pub(super) fn drop_idle(&self) -> bool {
        let since = self.draining_since.get();
        since.is_some_and(|since| self.clock.now().saturating_sub(since) >= GRACE)
    }
}

/// What a worker starts with.
pub(super) struct Seed {
    pub(super) id: WorkerId,
    pub(super) listener: StdListener,
    pub(super) limits: Arc<Limits>,
    pub(super) counters: Arc<Counters>,
    pub(super) admission: Arc<Admission>,
    pub(super) orders: watch::Receiver<Order>,
}

/// Runs a worker on this thread until it is told to stop, or has drained. Tells `ready` when it
/// serves, or why it does not. Returns the number of connections it had to cut.
pub(super) fn run<M, F, S, B>(seed: Seed, make: &M, ready: mpsc::Sender<io::Result<()>>) -> usize
where
    M: Fn(WorkerId) -> F,
    F: Fn(Connection) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nobody waits any more if another worker failed first.
            let _ = ready.send(Err(error));
            return 0;
        }
    };
    runtime.block_on(async {
        let listener = match TcpListener::from_std(seed.listener) {
            Ok(listener) => listener,
            Err(error) => {
                let _ = ready.send(Err(error));
                return 0;
            }
        };
        let shared = Rc::new(Shared {
            clock: Rc::default(),
            date: Date::new(SystemTime::now()),
            registry: Rc::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            protocols: connection::Protocols::new(&seed.limits),
            limits: seed.limits,
            counters: seed.counters,
            maps: RefCell::default(),
            buffer: Cell::default(),
            draining_since: Cell::new(None),
        });
        let worker = Worker {
            make: Rc::new(make(seed.id)),
            shared,
            admission: seed.admission,
            turned: Rc::default(),
        };
        let _ = ready.send(Ok(()));
        // Whoever waits for the others learns by this if one of them panics.
        drop(ready);
        tokio::task::spawn_local(sweep(Rc::clone(&worker.shared)));
        worker.serve(listener, seed.orders).await
    })
}

/// Sets the clock and ends what is overdue, for ever.
async fn sweep(shared: Rc<Shared>) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(shared.limits.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.date.set(SystemTime::now());
        for phase in shared.registry.sweep(&shared.clock, began.elapsed(), &shared.limits) {
            shared.counters.count_timed_out(phase);
        }
        if shared.draining() {
            shared.registry.wake_all();
        }
    }
}

struct Worker<F> {
    make: Rc<F>,
    shared: Rc<Shared>,
    admission: Arc<Admission>,
    turned: Rc<Turned>,
}

impl<F> Worker<F> {
    async fn serve<S, B>(self, listener: TcpListener, mut orders: watch::Receiver<Order>) -> usize
    where
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let local = listener.local_addr().ok();
        tokio::select! {
            biased;
            // An error means that the handle is gone: nobody can stop us later.
            _ = orders.wait_for(|order| *order != Order::Serve) => {}
            () = self.accept(&listener) => {}
        }
        if *orders.borrow() == Order::Drain {
            self.accept_waiting(listener);
            self.shared.draining_since.set(Some(self.shared.clock.now()));
            self.shared.registry.wake_all();
            debug!(?local, connections = self.shared.registry.len(), "draining");
            tokio::select! {
                () = self.shared.registry.empty() => {}
                _ = orders.wait_for(|order| *order == Order::Stop) => {}
            }
        }
        self.shared.registry.len()
    }

    /// Accepts connections for ever.
    async fn accept<S, B>(&self, listener: &TcpListener)
    where
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let mut pause = BACK_OFF.0;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = BACK_OFF.0;
                    self.open(stream, peer);
                }
                Err(error) if gone_already(&error) => {}
                Err(error) => {
                    self.shared.counters.count_accept_error();
                    if pause == BACK_OFF.0 {
                        warn!(%error, "cannot accept connections, trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// Accepts what the kernel already took in our name, then closes the listener.
    fn accept_waiting<S, B>(&self, listener: TcpListener)
    where
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let Ok(listener) = listener.into_std() else { return };
        loop {
            match listener.accept() {
                Ok((stream, peer)) => {
                    let stream =
                        stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    if let Ok(stream) = stream {
                        self.open(stream, peer);
                    }
                }
                Err(error) if gone_already(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn open<S, B>(&self, stream: TcpStream, peer: SocketAddr)
    where
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let place = match self.admission.admit(peer.ip()) {
            Ok(place) => place,
            Err(reason) => {
                debug!(%peer, reason = reason.label(), "connection refused");
                self.turned.away(stream);
                return;
            }
        };
        let Ok(local) = stream.local_addr() else { return };
        // Without it answers are only slower.
        let _ = stream.set_nodelay(true);
        let about = Connection { peer, local };
        let entry = self.shared.registry.enter(&self.shared.clock);
        let (make, shared) = (Rc::clone(&self.make), Rc::clone(&self.shared));
        tokio::task::spawn_local(async move {
            connection::serve(stream, about, &make, &shared, &entry.state).await;
            drop(entry);
            drop(place);
        });
    }
}

/// Whether the error is of one connection that ended before it was accepted.
fn gone_already(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
