//! What each worker has of its own: connections to the nodes, and its copy of the stack.

use std::{
    cell::RefCell,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use kamaitachi_layers::{body::Body, client::PeerAddr};
use kamaitachi_serve::{
    BackOff,
    server::{Connection, Incoming, WorkerId},
    spawn_supervised_local,
};
use tower::Service;

use crate::{
    cluster::{Cluster, Membership, Refill},
    config::{Health, Target},
    gateway::Shared,
    own::{ADMIN_PAGES, ANSWER_WITHIN, PAGES},
    stack::{Stack, compose, compose_admin},
    upstream::{Client, Probe, Prober, Settings, UpstreamBody},
};

/// The connections of one worker. Requests with the same time-out share theirs.
#[derive(Debug)]
struct Clients {
    settings: Settings,
    made: RefCell<Vec<(Duration, Client)>>,
}

impl Clients {
    fn new(shared: &Shared) -> Self {
        let upstream = &shared.config.upstream;
        let settings = Settings {
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            max_idle: upstream.max_idle,
            ..Settings::default()
        };
        Self { settings, made: RefCell::default() }
    }

    fn with_timeout(&self, timeout: Duration) -> Client {
        let mut made = self.made.borrow_mut();
        if let Some((_, client)) = made.iter().find(|(known, _)| *known == timeout) {
            return client.clone();
        }
        let client = Client::new(Settings { head_timeout: timeout, ..self.settings.clone() });
        made.push((timeout, client.clone()));
        client
    }
}

/// A service of requests with the peer noted in them.
pub trait Serve:
    Service<Request<Incoming>, Response = Response<Body<UpstreamBody>>, Error = Infallible>
    + Clone
    + 'static
{
}

impl<S> Serve for S where
    S: Service<Request<Incoming>, Response = Response<Body<UpstreamBody>>, Error = Infallible>
        + Clone
        + 'static
{
}

/// The service of a worker of the public listener. To be called on the worker's thread.
pub fn public(shared: &Arc<Shared>, id: WorkerId) -> impl Serve + use<> {
    let clients = Clients::new(shared);
    let stack = compose(shared, &PAGES, &|timeout| clients.with_timeout(timeout));
    if id == WorkerId(0) {
        for layers in &stack.text {
            tracing::info!(%layers, "stack");
        }
    }
    following(shared, stack)
}

/// The service of `stack`, whose pools follow the nodes from now on. To be called on the worker's thread.
///
/// # Panics
///
/// Outside of a local runtime, such as a server's worker.
pub fn following<S>(shared: &Arc<Shared>, stack: Stack<S>) -> S {
    shared.cluster.note_members();
    let (ring, master): (Vec<_>, Vec<_>) =
        stack.refills.into_iter().partition(|refill| refill.target() == Target::Ring);
    for (target, refills) in [(Target::Ring, ring), (Target::Master, master)] {
        let nodes = shared.cluster.membership(target);
        for refill in &refills {
            refill.with(&nodes.borrow());
        }
        tokio::task::spawn_local(follow(Arc::clone(shared), nodes, refills));
    }
    tokio::task::spawn_local(stack.ticker.drive());
    stack.service
}

/// The service of the admin listener. Its worker also looks after the nodes and the limits.
pub fn admin(shared: &Arc<Shared>) -> impl Serve + use<> {
    let clients = Clients::new(shared);
    let stack = compose_admin(shared, &ADMIN_PAGES, &clients.with_timeout(ANSWER_WITHIN));
    if let Some(health) = shared.config.health.clone() {
        let cluster = Arc::clone(&shared.cluster);
        spawn_supervised_local("health checks", BackOff::default(), move || {
            probe(health.clone(), Arc::clone(&cluster))
        });
    }
    if let Some(tick) = shared.cluster.joins().tick() {
        let cluster = Arc::clone(&shared.cluster);
        spawn_supervised_local("slow start", BackOff::default(), move || {
            let cluster = Arc::clone(&cluster);
            async move {
                cluster.joins().drive(tick).await;
                Ok::<_, Infallible>(())
            }
        });
    }
    let cluster = Arc::clone(&shared.cluster);
    spawn_supervised_local("watch for a second master", BackOff::default(), move || {
        tell_of_rivals(Arc::clone(&cluster))
    });
    if let Some(limited) = shared.clients.clone() {
        spawn_supervised_local("sweep of client limits", BackOff::default(), move || {
            limited.clone().sweep()
        });
    }
    stack
}

/// Keeps the pools of one worker up to date; ends when nodes can't change any more.
async fn follow(shared: Arc<Shared>, mut membership: Membership, refills: Vec<Refill>) {
    // What was there at the start may have changed since.
    membership.mark_changed();
    while membership.changed().await.is_ok() {
        let nodes = Arc::clone(&membership.borrow_and_update());
        shared.cluster.note_members();
        for refill in &refills {
            refill.with(&nodes);
        }
        shared.cluster.forget_gone();
    }
}

/// Probes the nodes for ever.
async fn probe(health: Health, cluster: Arc<Cluster>) -> Result<(), Infallible> {
    // A connection for each probe: what counts is whether the node takes new ones.
    let client = Client::new(Settings { max_idle: 0, ..Settings::default() });
    let Health { path, interval, timeout, .. } = health;
    let mut slaves = cluster.membership(Target::Ring);
    let news = async move || {
        if slaves.changed().await.is_err() {
            // Nodes can't change any more.
            std::future::pending::<()>().await;
        }
    };
    let prober = Prober::new(Probe { path, interval, timeout }, client);
    prober.run(move || cluster.nodes(), news).await;
    Ok(())
}

/// Warns when there is more than one master, and tells when that is over; ends when masters can't change any more.
async fn tell_of_rivals(cluster: Arc<Cluster>) -> Result<(), Infallible> {
    let mut masters = cluster.membership(Target::Master);
    let mut known = Vec::new();
    loop {
        masters.mark_unchanged();
        let (chosen, rivals) = (cluster.master(), cluster.rivals());
        match (&chosen, rivals.as_slice(), known.as_slice()) {
            (_, [], []) => {}
            (_, [], _) => tracing::info!(?chosen, "there is one master again, or none"),
            (Some(chosen), _, _) if rivals != known => tracing::warn!(
                %chosen,
                ignored = ?rivals,
                "more than one node is registered as master; writes go to the first by its address, \
                 which slaves of another do not get: stop those that are too many"
            ),
            _ => {}
        }
        known = rivals;
        if masters.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Notes in each request of a connection whom it came from.
#[derive(Clone, Debug)]
pub struct Peered<S> {
    inner: S,
    peer: PeerAddr,
}

impl<S> Peered<S> {
    /// The service of one connection.
    pub fn new(inner: S, connection: Connection) -> Self {
        Self { inner, peer: PeerAddr::new(connection.peer) }
    }
}

impl<S, B> Service<Request<B>> for Peered<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.inner.call(request)
    }
}
