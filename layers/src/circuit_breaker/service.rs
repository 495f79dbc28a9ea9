//! The layer, its service and future.
use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode};
use kamaitachi_policies::breaker::Outcome;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::{Circuit, circuit::Try};
use crate::{rejection::Rejection, retry::hand_back};

/// Builds [`CircuitBreaker`] services around one [`Circuit`]. See the [module](super).
#[derive(Clone)]
pub struct CircuitBreakerLayer {
    circuit: Circuit,
    classifier: Option<Arc<Classifier>>,
}

type Classifier = dyn Fn(Answer<'_>) -> Outcome + Send + Sync;

/// What a classifier gets to see.
type Answer<'a> = Result<StatusCode, &'a (dyn Error + 'static)>;

/// The classifier that is used where none is given: 500 and above and errors are failures, but for rejections of this
/// crate's layers, which are no word on the upstream.
#[must_use]
pub fn classify(answer: Result<StatusCode, &(dyn Error + 'static)>) -> Outcome {
    match answer {
        Ok(status) if status.is_server_error() => Outcome::Failure,
        Ok(_) => Outcome::Success,
        Err(error) if Rejection::find(error).is_some() => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

impl CircuitBreakerLayer {
    /// Asks `circuit`, and [classifies](classify) answers by status.
    #[must_use]
    pub fn new(circuit: Circuit) -> Self {
        Self { circuit, classifier: None }
    }

    /// Tells success from failure in another way.
    #[must_use]
    pub fn classifying(
        mut self,
        classifier: impl Fn(Result<StatusCode, &(dyn Error + 'static)>) -> Outcome
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.classifier = Some(Arc::new(classifier));
        self
    }
}

impl fmt::Debug for CircuitBreakerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer").field("circuit", self.circuit.name()).finish()
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker { inner, layer: self.clone() }
    }
}

/// Passes requests on while its circuit admits them. See the [module](super).
#[derive(Clone, Debug)]
pub struct CircuitBreaker<S> {
    inner: S,
    layer: CircuitBreakerLayer,
}

impl<S, B, R> Service<Request<B>> for CircuitBreaker<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
    B: http_body::Body,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match self.layer.circuit.admit() {
            // The try is made before the call, so that a panic in there reports, too.
            Ok(attempt) => {
                let inner = self.inner.call(request);
                State::Admitted { inner, attempt, classifier: self.layer.classifier.clone() }
            }
            Err(why) => State::Refused { why: Some(hand_back(request, why)) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`CircuitBreaker`].
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Admitted { #[pin] inner: F, attempt: Try, classifier: Option<Arc<Classifier>> },
        Refused { why: Option<BoxError> },
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { inner, attempt, classifier } => {
                let result = ready!(inner.poll(cx)).map_err(Into::into);
                let answer: Answer<'_> = match &result {
                    Ok(response) => Ok(response.status()),
                    Err(error) => Err(&**error),
                };
                attempt.report(match classifier {
                    Some(classifier) => classifier(answer),
                    None => classify(answer),
                });
                Poll::Ready(result)
            }
            StateProj::Refused { why } => {
                Poll::Ready(Err(why.take().expect("not polled again after it is ready")))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
