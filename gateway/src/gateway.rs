//! A gateway as a value: what its workers share, how it starts, and how it ends.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use kamaitachi_layers::{request_id::RequestIdLayer, retry::SharedBudget};
use kamaitachi_serve::{
    limits::Limits,
    server::{Bound, Drained, Handle, Server},
    shutdown::Drain,
};
use tokio::runtime::Runtime;

use crate::{
    cluster::Cluster,
    config::{Config, RouteConfig},
    discovery::Upstreams,
    fresh::Latest,
    limit::{Clients, rate_limit},
    metrics::Metrics,
    monitor::Started,
    worker::{self, Peered},
};

/// What all workers of a gateway share.
#[derive(Debug)]
pub struct Shared {
    /// Its configuration.
    pub config: Config,
    /// The nodes, and how they fare.
    pub cluster: Arc<Cluster>,
    /// The routes, with the limits that their requests share.
    pub routes: Vec<SharedRoute>,
    /// The limits of single clients.
    pub clients: Option<Clients>,
    /// How many second tries all requests together may have.
    pub budget: SharedBudget,
    /// The newest write, which reads ask for.
    pub latest: Arc<Latest>,
    /// Where request ids come from.
    pub request_ids: RequestIdLayer,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When it began.
    pub started: Started,
    /// Whether it is on its way out.
    pub drain: Drain,
}

/// A route and what all its requests share.
#[derive(Debug)]
pub struct SharedRoute {
    /// The route.
    pub config: RouteConfig,
    /// Its limit, if it has one.
    pub rate_limit: Option<kamaitachi_layers::rate_limit::RateLimitLayer>,
}

impl Shared {
    /// What workers of a gateway with this configuration and these nodes share.
    #[must_use]
    pub fn new(config: Config, upstreams: Upstreams, drain: Drain) -> Arc<Self> {
        let cluster = Cluster::new(&config, upstreams);
        let clients = config.rate_limit.client.as_ref().map(Clients::new);
        let route = |route: &RouteConfig| SharedRoute {
            rate_limit: rate_limit(&config.rate_limit, route, clients.as_ref()),
            config: route.clone(),
        };
        let names = config.routes.iter().map(|route| Arc::clone(&route.name));
        Arc::new(Self {
            routes: config.routes.iter().map(route).collect(),
            budget: SharedBudget::new(config.retry.budget),
            latest: Arc::default(),
            request_ids: RequestIdLayer::new(),
            metrics: Metrics::new(names, Arc::clone(&cluster)),
            started: Started::now(),
            clients,
            cluster,
            config,
            drain,
        })
    }
}

/// A gateway that has its addresses, so that others can be told of them before it serves.
#[derive(Debug)]
pub struct Gateway {
    public: Bound,
    admin: Bound,
    shared: Arc<Shared>,
}

impl Gateway {
    /// Takes the addresses of `config` and follows its nodes; `drain` ends it.
    ///
    /// # Errors
    ///
    /// One of the addresses can't be bound; the message names it.
    ///
    /// # Panics
    ///
    /// Where nodes are to be found, outside a tokio runtime.
    pub fn bind(config: Config, drain: Drain) -> io::Result<Self> {
        let upstreams = Upstreams::start(&config);
        Self::bind_following(config, upstreams, drain)
    }

    /// The same with nodes that come and go.
    ///
    /// # Errors
    ///
    /// One of the addresses can't be bound; the message names it.
    pub fn bind_following(config: Config, upstreams: Upstreams, drain: Drain) -> io::Result<Self> {
        let server = &config.server;
        let public = Server::new(server.listen).name("gateway").limits(config.limits.clone());
        let public = match server.workers {
            Some(workers) => public.workers(workers.get()),
            None => public,
        };
        let admin = Server::new(server.admin).name("admin").limits(Limits::default()).workers(1);
        let named = |address: SocketAddr| {
            move |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            }
        };
        let public = public.bind().map_err(named(server.listen))?;
        let admin = admin.bind().map_err(named(server.admin))?;
        Ok(Self { public, admin, shared: Shared::new(config, upstreams, drain) })
    }

    /// The address of the public listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Starts the workers; returns when all of them serve.
    ///
    /// # Errors
    ///
    /// A thread can't be started.
    pub fn start(self) -> io::Result<Running> {
        let Self { public, admin, shared } = self;
        let seed = Arc::clone(&shared);
        let public = public.start(move |id| {
            let service = worker::public(&seed, id);
            move |connection| Peered::new(service.clone(), connection)
        })?;
        shared.metrics.watch(public.counters());
        let seed = Arc::clone(&shared);
        let admin = admin.start(move |_| {
            let service = worker::admin(&seed);
            move |connection| Peered::new(service.clone(), connection)
        })?;
        Ok(Running { public, admin, shared })
    }
}

/// A gateway that serves. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    public: Handle,
    admin: Handle,
    shared: Arc<Shared>,
}

/// How long the admin listener may take: scrapes are short.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

impl Running {
    /// The address of the public listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// What its workers share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves until the drain is asked for, then drains: it says that it is not ready, stops accepting, finishes what
    /// is in flight within the configured time, and goes. The admin listener goes last.
    ///
    /// Cancel safety: dropping the future stops the gateway at once.
    ///
    /// # Errors
    ///
    /// A worker panicked.
    pub async fn serve(mut self) -> io::Result<Drained> {
        let drain = self.shared.drain.clone();
        tokio::select! {
            () = drain.requested() => {}
            () = self.public.failed() => {
                return Err(io::Error::other("a worker panicked; see the log"));
            }
        }
        let drained = drain.finish(self.public, self.shared.config.server.drain).await;
        drain.finish(self.admin, ADMIN_DRAIN).await;
        Ok(drained)
    }
}

/// The runtime of the main thread, which waits for signals and looks after background tasks; requests are served on
/// the workers' own.
///
/// # Errors
///
/// The system has no resources for one.
pub fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
