//! Bounds the body of a request, whether it announces its length or not.
//!
//! One that announces more is refused at once; one that turns out longer breaks off while it is read, which is
//! answered the same. Nothing is buffered. Readiness is the inner service's.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use http_body::Body;
use http_body_util::{LengthLimitError, Limited};
use kamaitachi_layers::rejection::Rejection;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

/// Builds [`Cap`] services.
#[derive(Clone, Copy, Debug)]
pub struct CapLayer {
    limit: u64,
}

impl CapLayer {
    /// At most `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for CapLayer {
    type Service = Cap<S>;

    fn layer(&self, inner: S) -> Cap<S> {
        Cap { inner, limit: self.limit }
    }
}

/// Passes requests on with a bounded body. See the [module](self).
#[derive(Clone, Debug)]
pub struct Cap<S> {
    inner: S,
    limit: u64,
}

impl<S, B> Service<Request<B>> for Cap<S>
where
    S: Service<Request<Limited<B>>, Error = BoxError>,
    B: Body,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = self.limit;
        if request.body().size_hint().lower() > limit {
            return ResponseFuture { inner: None, limit };
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let inner = self.inner.call(request.map(|body| Limited::new(body, most)));
        ResponseFuture { inner: Some(inner), limit }
    }
}

pin_project! {
    /// The future of [`Cap`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` where the request was refused.
        #[pin]
        inner: Option<F>,
        limit: u64,
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, BoxError>>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let too_large = || Rejection::BodyTooLarge { limit: *this.limit };
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Err(too_large().into()));
        };
        let result = ready!(inner.poll(cx));
        Poll::Ready(result.map_err(|error| {
            // Whoever was reading found the body longer than announced, or not announced at all.
            let mut causes = std::iter::successors(Some(&*error as &dyn Error), |&e| e.source());
            if causes.any(<dyn Error>::is::<LengthLimitError>) { too_large().into() } else { error }
        }))
    }
}
