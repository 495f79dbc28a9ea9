//! The service and its future.
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::layer::Limits;
use crate::{head::Head, rejection::Rejection};

/// Passes on what is within the limits. See the [module](super).
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limits: Arc<Limits>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, limits: Arc<Limits>) -> Self {
        Self { inner, limits }
    }
}

impl<S, B> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match self.limits.ask(Head::from(&request)) {
            Ok(()) => State::Forwarded { inner: self.inner.call(request) },
            Err(why) => State::Refused { why: Some(why) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`RateLimit`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F> {
        Forwarded { #[pin] inner: F },
        Refused { why: Option<Rejection> },
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { inner } => {
                Poll::Ready(ready!(inner.poll(cx)).map_err(Into::into))
            }
            StateProj::Refused { why } => {
                Poll::Ready(Err(why.take().expect("not polled again after it is ready").into()))
            }
        }
    }
}
