//! The service that asks the table.
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::{Table, target};
use crate::{
    eager::{self, Calling},
    rejection::Rejection,
};

/// Hands each request to the service that its [`Table`] has for it. See the [module](super) for the rules.
///
/// Clones share the table.
pub struct Route<S> {
    table: Arc<Table<S>>,
}

impl<S> Route<S> {
    /// Serves `table`.
    #[must_use]
    pub fn new(table: Table<S>) -> Self {
        Self { table: Arc::new(table) }
    }
}

impl<S> Clone for Route<S> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("table", &self.table).finish()
    }
}

impl<S, B> Service<Request<B>> for Route<S>
where
    S: Service<Request<B>, Error: Into<BoxError>> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Request<B>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        let found = target::check(path)
            .map_err(|why| Rejection::BadTarget { why })
            .and_then(|()| self.table.find(path, request.method()));
        let state = match found {
            Ok(service) => State::Found { inner: eager::call(service.clone(), request) },
            Err(why) => State::Refused { why: Some(why) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`Route`].
    pub struct ResponseFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Found { #[pin] inner: Calling<S, Req> },
        Refused { why: Option<Rejection> },
    }
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req, Error: Into<BoxError>>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Found { inner } => Poll::Ready(ready!(inner.poll(cx)).map_err(Into::into)),
            StateProj::Refused { why } => {
                Poll::Ready(Err(why.take().expect("not polled again after it is ready").into()))
            }
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
