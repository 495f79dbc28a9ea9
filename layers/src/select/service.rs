//! The service and its future.
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use http::{HeaderName, Request, Response};
use kamaitachi_policies::ring::LoadBound;
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::{Failed, Pool, member::About};
use crate::{
    eager::{self, Calling},
    hedge,
    key::RoutingKey,
    rejection::Rejection,
    retry::Tried,
};

/// Sends each request to the member of its [`Pool`] that owns the key. See the [module](super).
pub struct Select<E> {
    pool: Pool<E>,
    bound: Option<LoadBound>,
    header: Option<HeaderName>,
}

impl<E> Select<E> {
    /// Chooses from `pool`.
    #[must_use]
    pub fn new(pool: Pool<E>) -> Self {
        Self { pool, bound: None, header: None }
    }

    /// Names in this response header who answered.
    #[must_use]
    pub fn naming(mut self, header: HeaderName) -> Self {
        self.header = Some(header);
        self
    }

    /// Gives a member's keys to the next ones along the ring while it has far more requests in flight than its share.
    #[must_use]
    pub fn bounded(mut self, bound: LoadBound) -> Self {
        self.bound = Some(bound);
        self
    }
}

impl<E> Clone for Select<E> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), bound: self.bound, header: self.header.clone() }
    }
}

impl<E> fmt::Debug for Select<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("pool", &self.pool)
            .field("bound", &self.bound)
            .field("header", &self.header)
            .finish()
    }
}

impl<E, B, R> Service<Request<B>> for Select<E>
where
    E: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>> + Clone,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<E, Request<B>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let members = self.pool.load();
        let key = request.extensions().get().map_or(&[][..], RoutingKey::as_bytes);
        let tried = request.extensions().get::<Tried>();
        let Some(member) = members.choose(key, tried, self.bound) else {
            return ResponseFuture { state: State::Refused };
        };
        let last = tried.map_or(0, Tried::len) + 1 >= members.len();
        let about = Arc::clone(&member.about);
        let in_flight = self.bound.map(|_| InFlight::count(Arc::clone(&about)));
        let inner = eager::call(member.service.clone(), request);
        let header = self.header.clone();
        ResponseFuture { state: State::Sent { inner, about, last, header, in_flight } }
    }
}

/// One request of a member, until it has a response head or is given up.
struct InFlight(Arc<About>);

impl InFlight {
    fn count(about: Arc<About>) -> Self {
        about.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(about)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// The future of [`Select`].
    pub struct ResponseFuture<E, Req>
    where
        E: Service<Req>,
    {
        #[pin]
        state: State<E, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<E, Req>
    where
        E: Service<Req>,
    {
        Sent {
            #[pin]
            inner: Calling<E, Req>,
            about: Arc<About>,
            last: bool,
            header: Option<HeaderName>,
            in_flight: Option<InFlight>,
        },
        Refused,
    }
}

impl<E, Req, R> Future for ResponseFuture<E, Req>
where
    E: Service<Req, Response = Response<R>, Error: Into<BoxError>>,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sent { inner, about, last, header, in_flight } => {
                let polled = inner.poll(cx);
                if polled.is_pending() {
                    hedge::tell(&about.name, *last);
                }
                let result = ready!(polled);
                drop(in_flight.take());
                match result {
                    Ok(mut response) => {
                        if let Some(header) = header.take() {
                            response.headers_mut().insert(header, about.header.clone());
                        }
                        Poll::Ready(Ok(response))
                    }
                    Err(error) => {
                        let name = Arc::clone(&about.name);
                        Poll::Ready(Err(Failed::new(name, *last, error.into()).into()))
                    }
                }
            }
            StateProj::Refused => Poll::Ready(Err(Rejection::NoUpstream.into())),
        }
    }
}

impl<E: Service<Req>, Req> fmt::Debug for ResponseFuture<E, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
