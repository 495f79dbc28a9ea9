//! `OPTIONS *`: what the gateway as a whole takes.
//!
//! The question is about the server that is asked and no resource of it (RFC 9110, 9.3.7), so no node is asked: 204, and
//! `Allow` with the methods that routes can have. `*` with any other method stays what it is, a bad target. Readiness
//! is the inner service's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW};
use kamaitachi_layers::body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Methods that some route can have.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Builds [`About`] services.
#[derive(Clone, Copy, Debug)]
pub struct AboutLayer;

impl<S> Layer<S> for AboutLayer {
    type Service = About<S>;

    fn layer(&self, inner: S) -> About<S> {
        About { inner }
    }
}

/// Answers what is asked about the server. See the [module](self).
#[derive(Clone, Debug)]
pub struct About<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for About<S>
where
    S: Service<Request<B>, Response = Response<Body<R>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_ours = *request.method() == Method::OPTIONS && request.uri().path() == "*";
        ResponseFuture { inner: (!is_ours).then(|| self.inner.call(request)) }
    }
}

pin_project! {
    /// The future of [`About`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` where the answer is known.
        #[pin]
        inner: Option<F>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body<R>>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(inner) = self.project().inner.as_pin_mut() {
            return Poll::Ready(ready!(inner.poll(cx)));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, METHODS);
        Poll::Ready(Ok(response))
    }
}
