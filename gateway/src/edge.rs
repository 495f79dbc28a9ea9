//! Where every request ends well: errors and panics become responses here, and each answer is counted once.
//!
//! The service stands twice in the stack: around each route, where it knows whose request it is, and around all, where
//! only those requests are left that no route got to see.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use kamaitachi_layers::{body::Body, request_id::X_REQUEST_ID};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use crate::{metrics::Recorder, reason::Reason, respond};

/// What is left to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// Every request.
    All,
    /// Those that fail here; the others were counted further in.
    Failures,
}

/// Builds [`Answer`] services.
#[derive(Clone, Debug)]
pub struct AnswerLayer {
    recorder: Recorder,
    count: Count,
}

impl AnswerLayer {
    /// Counts every request.
    #[must_use]
    pub fn counting_all(recorder: Recorder) -> Self {
        Self { recorder, count: Count::All }
    }

    /// Counts those requests only that fail on the way to services which count on their own.
    #[must_use]
    pub fn counting_failures(recorder: Recorder) -> Self {
        Self { recorder, count: Count::Failures }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner, layer: self.clone() }
    }
}

/// Answers whatever happens. See the [module](self).
#[derive(Clone, Debug)]
pub struct Answer<S> {
    inner: S,
    layer: AnswerLayer,
}

impl<S, B, R> Service<Request<B>> for Answer<S>
where
    S: Service<Request<B>, Response = Response<Body<R>>, Error = BoxError>,
{
    type Response = Response<Body<R>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What stands further in is always ready: readiness is awaited on the clone that was chosen for a request.
        // A service that fails here fails its call as well, and is answered there.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clock is read where the answer is counted, once for each request.
        let began = (self.layer.count == Count::All).then(Instant::now);
        let under_way = UnderWay {
            layer: self.layer.clone(),
            method: request.method().clone(),
            began,
            id: request.headers().get(X_REQUEST_ID).cloned(),
            is_over: false,
        };
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        ResponseFuture { inner, under_way }
    }
}

pin_project! {
    /// The future of [`Answer`].
    ///
    /// Cancel safety: dropping it counts the request as one whose client left.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` where the call itself panicked.
        #[pin]
        inner: Option<F>,
        under_way: UnderWay,
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body<R>>, BoxError>>,
{
    type Output = Result<Response<Body<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => catch_unwind(AssertUnwindSafe(|| inner.poll(cx))),
            None => Ok(Poll::Ready(Err(Panicked.into()))),
        };
        let result = polled.unwrap_or_else(|_| {
            // It is never polled again, and what it holds is given back now.
            this.inner.set(None);
            Poll::Ready(Err(Panicked.into()))
        });
        Poll::Ready(Ok(this.under_way.end(ready!(result))))
    }
}

/// A panic further in: the request that met it is answered, nobody else notices.
#[derive(Debug, thiserror::Error)]
#[error("a service panicked")]
pub(crate) struct Panicked;

/// A request until it is answered.
#[derive(Debug)]
struct UnderWay {
    layer: AnswerLayer,
    method: Method,
    began: Option<Instant>,
    id: Option<http::HeaderValue>,
    is_over: bool,
}

impl UnderWay {
    fn end<R>(&mut self, result: Result<Response<Body<R>>, BoxError>) -> Response<Body<R>> {
        match result {
            Ok(response) => {
                self.record(response.status(), Reason::Answered);
                response
            }
            Err(error) => {
                let (response, reason) = respond::respond(&*error);
                self.log(&error, reason);
                self.layer.count = Count::All;
                self.record(response.status(), reason);
                response
            }
        }
    }

    fn record(&mut self, status: StatusCode, reason: Reason) {
        self.is_over = true;
        if self.layer.count == Count::All {
            let took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
            self.layer.recorder.record(&self.method, status, reason, took);
        }
    }

    /// The client is told what happened in a few words; the causes are for the log. Failures of nodes are few: after
    /// some of them the node's breaker opens.
    fn log(&self, error: &BoxError, reason: Reason) {
        let id = self.id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
        let (method, why) = (self.method.as_str(), reason.as_str());
        let causes = Causes(&**error);
        match reason {
            Reason::Internal => {
                tracing::error!(request_id = id, method, why, %causes, "request failed");
            }
            Reason::Unreachable | Reason::Exhausted | Reason::BadAnswer | Reason::TimedOut => {
                tracing::warn!(request_id = id, method, why, %causes, "request failed");
            }
            _ => tracing::debug!(request_id = id, method, why, %causes, "request refused"),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_over {
            self.record(StatusCode::OK, Reason::ClientGone);
        }
    }
}

/// An error with its causes, on one line.
pub(crate) struct Causes<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |error| error.source());
        causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
