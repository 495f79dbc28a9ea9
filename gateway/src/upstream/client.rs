//! The services.
use std::{
    cell::RefCell,
    fmt,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use kamaitachi_layers::body::Body;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tower::{BoxError, Service};

use super::{
    body::UpstreamBody,
    deadline::TICK,
    exchange::ResponseFuture,
    node::Node,
    settings::Settings,
    target::{Shared, Target},
};

/// Makes the service that stands for a node on one worker.
///
/// The seam between the stack and the way nodes are reached: over TCP by a [`Client`], or in another way by another.
pub trait Connector<B> {
    /// The body of answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + 'static;
    /// The service.
    type Endpoint: Service<Request<Body<B>>, Response = Response<Self::Body>, Error = BoxError>
        + Clone
        + 'static;

    /// The service for `node`. With `reads`, its requests may be repeated when it is not known whether they were carried
    /// out.
    fn endpoint(&self, node: &Arc<Node>, reads: bool) -> Self::Endpoint;

    /// The service for what the gateway itself asks `node`, apart from the requests of clients: may be repeated, and speaks
    /// neither for nor against the node's health.
    fn endpoint_apart(&self, node: &Arc<Node>) -> Self::Endpoint;
}

/// A worker's connections to all nodes. Clones are the same; it stays on its thread.
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

struct Inner {
    shared: Rc<Shared>,
    targets: RefCell<Vec<Weak<Target>>>,
}

impl Client {
    /// A client without connections.
    ///
    /// Its ticker runs as a task of this thread until the client and everything made from it has gone.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalSet` or local runtime, where no task can be spawned.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let shared = Rc::new(Shared::new(settings));
        let inner = Rc::new(Inner { shared, targets: RefCell::default() });
        tokio::task::spawn_local(tick(Rc::downgrade(&inner)));
        Self { inner }
    }

    /// The service for `node`. All endpoints of one node share its connections, which are closed with the last of them.
    #[must_use]
    pub fn endpoint(&self, node: &Arc<Node>) -> Endpoint {
        let mut targets = self.inner.targets.borrow_mut();
        targets.retain(|target| target.strong_count() > 0);
        let known =
            targets.iter().filter_map(Weak::upgrade).find(|target| Arc::ptr_eq(&target.node, node));
        let target = known.unwrap_or_else(|| {
            let target = Target::new(Arc::clone(node), Rc::clone(&self.inner.shared));
            targets.push(Rc::downgrade(&target));
            target
        });
        Endpoint { target, _client: Rc::clone(&self.inner), kind: Kind::default() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("targets", &self.inner.targets.borrow()).finish()
    }
}

impl<B> Connector<B> for Client
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    type Body = UpstreamBody;
    type Endpoint = Endpoint;

    fn endpoint(&self, node: &Arc<Node>, reads: bool) -> Endpoint {
        let endpoint = Self::endpoint(self, node);
        if reads { endpoint.for_reads() } else { endpoint }
    }

    fn endpoint_apart(&self, node: &Arc<Node>) -> Endpoint {
        Self::endpoint(self, node).for_reads().apart()
    }
}

/// Keeps the time of a client.
async fn tick(client: Weak<Inner>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(client) = client.upgrade() else { return };
        let now = Instant::now();
        client.shared.clock.advance(now);
        // A copy, since closing connections may run anything.
        let targets: Vec<_> = client.targets.borrow().iter().filter_map(Weak::upgrade).collect();
        for target in targets {
            target.sweep();
            target.node.health().tick(now);
        }
    }
}

/// Sends requests to one node over HTTP/1.1. See the [module](super).
///
/// Always ready. Its errors are [`UpstreamError`](super::UpstreamError)s; where the request was not taken and its body is
/// in memory, within a [`HandedBack`](kamaitachi_layers::retry::HandedBack).
#[derive(Clone)]
pub struct Endpoint {
    target: Rc<Target>,
    // Keeps the ticker going.
    _client: Rc<Inner>,
    kind: Kind,
}

/// What is known of an endpoint's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    /// Doing one twice does no harm.
    pub(super) is_read: bool,
    /// The gateway itself asks: what comes of it says nothing of how clients fare.
    pub(super) is_apart: bool,
}

impl Endpoint {
    /// All requests are reads, or otherwise of a kind that does no harm when done twice: where the connection ends
    /// without a word, they are sent again.
    #[must_use]
    pub fn for_reads(mut self) -> Self {
        self.kind.is_read = true;
        self
    }

    /// What becomes of its requests is not told to the node's [`Health`](super::Health): a node may answer questions about
    /// itself and hang for all others, and one that has no answer to them may serve well.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.kind.is_apart = true;
        self
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.target.node
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("target", &self.target)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<Body<B>>> for Endpoint
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<UpstreamBody>;
    type Error = BoxError;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<B>>) -> ResponseFuture<B> {
        let is_read = self.kind.is_read || request.method().is_safe();
        ResponseFuture::new(Rc::clone(&self.target), request, Kind { is_read, ..self.kind })
    }
}
