//! HTTP servers with one worker a core: each worker is a thread with a current-thread runtime, a
//! listener of its own on the shared address (`SO_REUSEPORT`), and the connections it accepted.
//!
//! Nothing of a request crosses threads, so services need not be `Send`, and may keep caches,
//! pools and counters in cells. HTTP/1.1 and HTTP/2 (prior knowledge) are spoken on one port.
//! Every HTTP/1 request passes the [framing guard](crate::framing) first, and every connection is
//! held to its [`Limits`].
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use kamaitachi_serve::server::Server;
//! use tower::service_fn;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = Server::new(([127, 0, 0, 1], 0).into()).workers(2).start(|worker| {
//!     // Runs on the worker's thread: what is made here is shared by its connections.
//!     move |connection| {
//!         service_fn(move |_request: Request<_>| async move {
//!             let text = format!("worker {} greets {}", worker.0, connection.peer);
//!             Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
//!         })
//!     }
//! })?;
//! assert_ne!(server.local_addr().port(), 0);
//! let drained = server.drain(Duration::from_secs(30)).await;
//! assert_eq!(drained.cut, 0);
//! # Ok::<(), std::io::Error>(()) }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

mod admission;
mod bind;
mod connection;
mod date;
mod frames;
mod handle;
mod head;
mod http1;
mod incoming;
mod io;
mod peek;
mod piece;
mod refuse;
mod registry;
mod requests;
mod service;
mod state;
mod streams;
mod upload;
mod worker;

use std::{
    io as std_io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::watch;
use tower::{BoxError, Service};

use crate::limits::{Counters, Limits};
use admission::Admission;
pub use handle::{Drained, Handle};
pub use incoming::{BrokenBody, Incoming};
use worker::{Order, Seed};

/// Which worker of a server: 0 to one less than their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub usize);

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client.
    pub peer: SocketAddr,
    /// The server's end.
    pub local: SocketAddr,
}

/// A server to be: where it listens, with how many workers, under which limits.
#[derive(Clone, Debug)]
pub struct Server {
    address: SocketAddr,
    workers: usize,
    name: String,
    limits: Limits,
}

impl Server {
    /// A server on `address` with one worker a core and the default limits. Port 0 takes a free
    /// one.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { address, workers, name: "server".to_owned(), limits: Limits::default() }
    }

    /// Runs on this many workers; 0 counts as 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Names the threads `name-0`, `name-1`, …; the system shows the first 15 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Holds clients to these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes the address, without serving yet: connections wait in the kernel. Also lets the
    /// process open as many files as its hard limit allows, and takes fewer connections where those
    /// are not enough for them and the rest of the process.
    ///
    /// # Errors
    /// The address can't be bound; `AddrInUse` where another process listens on it, even one that
    /// would share it.
    pub fn bind(mut self) -> std_io::Result<Bound> {
        let files = bind::raise_file_limit();
        self.limits.connections = bind::affordable(self.limits.connections, files);
        let listeners = bind::bind(self.address, self.workers, self.limits.backlog)?;
        let address = listeners.first().map_or(Ok(self.address), TcpListener::local_addr)?;
        Ok(Bound { server: self, listeners, address })
    }

    /// Binds and serves: [`bind`](Self::bind), then [`Bound::start`].
    ///
    /// # Errors
    /// Those of both.
    pub fn start<M, F, S, B>(self, make: M) -> std_io::Result<Handle>
    where
        M: Fn(WorkerId) -> F + Send + Sync + 'static,
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        self.bind()?.start(make)
    }
}

/// A server that has its address.
#[derive(Debug)]
pub struct Bound {
    server: Server,
    listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl Bound {
    /// The address, with the port that 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the workers; returns when all of them serve.
    ///
    /// `make` runs once on each worker's thread, inside its runtime (so it may `spawn_local`), and
    /// gives what makes the services: one for each HTTP/1 connection, one for each HTTP/2 request.
    /// A service's error closes the connection without an answer.
    ///
    /// # Errors
    /// A thread or runtime can't be started, or `make` panicked on one of them; then none is left.
    pub fn start<M, F, S, B>(self, make: M) -> std_io::Result<Handle>
    where
        M: Fn(WorkerId) -> F + Send + Sync + 'static,
        F: Fn(Connection) -> S + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let Server { name, limits, .. } = self.server;
        let (make, limits) = (Arc::new(make), Arc::new(limits));
        let counters = Arc::new(Counters::default());
        let admission = Admission::new(&limits, Arc::clone(&counters));
        let (orders, heard) = watch::channel(Order::Serve);
        let (ready, started) = mpsc::channel();
        let mut handle = Handle::new(self.address, Arc::clone(&counters), orders);
        for (index, listener) in self.listeners.into_iter().enumerate() {
            let seed = Seed {
                id: WorkerId(index),
                listener,
                limits: Arc::clone(&limits),
                counters: Arc::clone(&counters),
                admission: Arc::clone(&admission),
                orders: heard.clone(),
            };
            let (make, ready) = (Arc::clone(&make), ready.clone());
            handle.spawn(format!("{name}-{index}"), move || worker::run(seed, &*make, ready))?;
        }
        drop(ready);
        for _ in 0..handle.workers() {
            let panicked = |_| std_io::Error::other("a worker panicked at its start");
            started.recv().map_err(panicked)??;
        }
        Ok(handle)
    }
}
