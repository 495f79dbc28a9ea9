//! The layer, its service and future.
use std::{
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::{
    Merge, Split,
    gather::{Gather, Gathered},
};
use crate::{
    body::Body,
    eager::{self, Calling},
    head::Head,
};

/// Parts of a request that run at a time unless told otherwise.
pub const DEFAULT_AT_ONCE: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// Bytes of the answers of one request that are held unless told otherwise: 32 MiB.
pub const DEFAULT_LIMIT: usize = 32 << 20;

/// Builds [`Scatter`] services. See the [module](super).
pub struct ScatterLayer<D> {
    settings: Arc<Settings<D>>,
}

struct Settings<D> {
    split: D,
    at_once: NonZeroUsize,
    limit: usize,
    observe: Option<Arc<Observe>>,
}

/// Something that happened to a request in parts, for whoever counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request goes in so many parts.
    Split {
        /// How many.
        parts: usize,
    },
    /// All parts were answered, and merged into one answer.
    Merged,
    /// The answer of one part, or its error, is the answer to the request.
    Failed,
    /// Parts would not do: the request is sent whole.
    Whole,
}

type Observe = dyn Fn(Event) + Send + Sync;

impl<D> ScatterLayer<D> {
    /// Splits by `split`; [`DEFAULT_AT_ONCE`] parts at a time, [`DEFAULT_LIMIT`] bytes of answers.
    #[must_use]
    pub fn new(split: D) -> Self {
        Self::with(Settings {
            split,
            at_once: DEFAULT_AT_ONCE,
            limit: DEFAULT_LIMIT,
            observe: None,
        })
    }

    fn with(settings: Settings<D>) -> Self {
        Self { settings: Arc::new(settings) }
    }
}

impl<D: Clone> ScatterLayer<D> {
    /// Runs so many parts of a request at a time.
    #[must_use]
    pub fn at_once(self, at_once: NonZeroUsize) -> Self {
        Self::with(Settings { at_once, ..Arc::unwrap_or_clone(self.settings) })
    }

    /// Holds at most `limit` bytes of all answers to one request; if they are more, it is sent whole.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self::with(Settings { limit, ..Arc::unwrap_or_clone(self.settings) })
    }

    /// Tells `observe` what becomes of requests that go in parts.
    #[must_use]
    pub fn observing(self, observe: impl Fn(Event) + Send + Sync + 'static) -> Self {
        let observe: Option<Arc<Observe>> = Some(Arc::new(observe));
        Self::with(Settings { observe, ..Arc::unwrap_or_clone(self.settings) })
    }
}

impl<D: Clone> Clone for Settings<D> {
    fn clone(&self) -> Self {
        let observe = self.observe.clone();
        Self { split: self.split.clone(), at_once: self.at_once, limit: self.limit, observe }
    }
}

impl<D> Clone for ScatterLayer<D> {
    fn clone(&self) -> Self {
        Self { settings: Arc::clone(&self.settings) }
    }
}

impl<D> fmt::Debug for ScatterLayer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScatterLayer")
            .field("at_once", &self.settings.at_once)
            .field("limit", &self.settings.limit)
            .finish_non_exhaustive()
    }
}

impl<S, D> Layer<S> for ScatterLayer<D> {
    type Service = Scatter<S, D>;

    fn layer(&self, inner: S) -> Scatter<S, D> {
        Scatter { inner, settings: Arc::clone(&self.settings) }
    }
}

fn tell(observe: Option<&Arc<Observe>>, event: Event) {
    if let Some(observe) = observe {
        observe(event);
    }
}

impl Event {
    fn of<B, R>(gathered: &Result<Gathered<B, R>, BoxError>) -> Self {
        match gathered {
            Ok(Gathered::Merged(_)) => Self::Merged,
            Ok(Gathered::Final(_)) | Err(_) => Self::Failed,
            Ok(Gathered::Whole(_)) => Self::Whole,
        }
    }
}

/// Answers requests in parts. See the [module](super).
pub struct Scatter<S, D> {
    inner: S,
    settings: Arc<Settings<D>>,
}

impl<S: Clone, D> Clone for Scatter<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: Arc::clone(&self.settings) }
    }
}

impl<S: fmt::Debug, D> fmt::Debug for Scatter<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scatter").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, D, B, R> Service<Request<Body<B>>> for Scatter<S, D>
where
    S: Service<Request<Body<B>>, Response = Response<Body<R>>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    D: Split,
{
    type Response = Response<Body<R>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R, D::Merge>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<B>>) -> Self::Future {
        let Settings { split, at_once, limit, observe } = &*self.settings;
        let inner = self.inner.clone();
        let parts = request.body().bytes().and_then(|body| split.split(Head::from(&request), body));
        let state = match parts.filter(|parts| !parts.parts.is_empty()) {
            None => State::Whole { inner: eager::call(inner, request) },
            Some(parts) => {
                tell(observe.as_ref(), Event::Split { parts: parts.parts.len() });
                let gather = Gather::new(inner, request, parts, at_once.get(), *limit);
                State::Parts { gather: Box::new(gather), observe: observe.clone() }
            }
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`Scatter`].
    ///
    /// Cancel safety: dropping it drops the request with all its parts.
    pub struct ResponseFuture<S, B, R, M>
    where
        S: Service<Request<Body<B>>>,
    {
        #[pin]
        state: State<S, B, R, M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R, M>
    where
        S: Service<Request<Body<B>>>,
    {
        Whole { #[pin] inner: Calling<S, Request<Body<B>>> },
        // Boxed, so that whole requests are as small as without it.
        Parts { gather: Box<Gather<S, B, R, M>>, observe: Option<Arc<Observe>> },
    }
}

impl<S, B, R, M> Future for ResponseFuture<S, B, R, M>
where
    S: Service<Request<Body<B>>, Response = Response<Body<R>>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    M: Merge,
{
    type Output = Result<Response<Body<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let whole = match state.as_mut().project() {
                StateProj::Whole { inner } => {
                    return Poll::Ready(ready!(inner.poll(cx)).map_err(Into::into));
                }
                StateProj::Parts { gather, observe } => {
                    let gathered = ready!(gather.poll(cx));
                    tell(observe.as_ref(), Event::of(&gathered));
                    match gathered? {
                        Gathered::Merged(answer) | Gathered::Final(answer) => {
                            return Poll::Ready(Ok(answer));
                        }
                        Gathered::Whole(request) => eager::call(gather.inner(), request),
                    }
                }
            };
            state.set(State::Whole { inner: whole });
        }
    }
}

impl<S, B, R, M> fmt::Debug for ResponseFuture<S, B, R, M>
where
    S: Service<Request<Body<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
