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
        Endpoint { target, _client: Rc::clone(&self.inner), is_read: false }
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
    is_read: bool,
}

impl Endpoint {
    /// All requests are reads, or otherwise of a kind that does no harm when done twice: where the connection ends
    /// without a word, they are sent again.
    #[must_use]
    pub fn for_reads(mut self) -> Self {
        self.is_read = true;
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
            .field("is_read", &self.is_read)
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
        let is_read = self.is_read || request.method().is_safe();
        ResponseFuture::new(Rc::clone(&self.target), request, is_read)
    }
}
