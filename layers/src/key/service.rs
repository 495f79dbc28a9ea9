//! The layer, its service and future.
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{BoxError, Layer, Service};

use super::{KeySources, RoutingKey};
use crate::{
    body::{Body, Collect, collect},
    eager::{self, Calling},
    head::Head,
    rejection::Rejection,
};

/// How much of a body is buffered unless told otherwise: 1 MiB.
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// How long a whole body may take unless told otherwise: 30 s.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Builds [`Key`] services. See the [module](super).
#[derive(Clone, Debug)]
pub struct KeyLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    sources: KeySources,
    limit: usize,
    deadline: Duration,
}

impl KeyLayer {
    /// Looks in these places; buffers bodies of up to [`DEFAULT_LIMIT`] within [`DEFAULT_DEADLINE`].
    #[must_use]
    pub fn new(sources: KeySources) -> Self {
        let settings = Settings { sources, limit: DEFAULT_LIMIT, deadline: DEFAULT_DEADLINE };
        Self { settings: Arc::new(settings) }
    }

    /// Buffers at most `limit` bytes of a body.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { settings: Arc::new(Settings { limit, ..Arc::unwrap_or_clone(self.settings) }) }
    }

    /// Waits at most `deadline` for a whole body, from the moment the request's head is there.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { settings: Arc::new(Settings { deadline, ..Arc::unwrap_or_clone(self.settings) }) }
    }
}

impl<S> Layer<S> for KeyLayer {
    type Service = Key<S>;

    fn layer(&self, inner: S) -> Key<S> {
        Key { inner, settings: Arc::clone(&self.settings) }
    }
}

/// Passes requests on with their key. See the [module](super).
#[derive(Clone, Debug)]
pub struct Key<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B> Service<Request<B>> for Key<S>
where
    S: Service<Request<Body<B>>, Error: Into<BoxError>> + Clone,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = self.inner.clone();
        let sources = &self.settings.sources;
        let has_body = !request.body().is_end_stream();
        let key = sources.in_head(Head::from(&request), has_body);
        if has_body && key.is_none() && sources.need_body() {
            let (head, body) = request.into_parts();
            let body = collect(body, self.settings.limit);
            let settings = Arc::clone(&self.settings);
            let held = Some(Held { head, inner, settings });
            return ResponseFuture { state: State::Reading { body, deadline: None, held } };
        }
        let body = |body| if has_body { Body::streaming(body) } else { Body::empty() };
        ResponseFuture { state: State::calling(inner, request.map(body), key) }
    }
}

/// What waits for the body.
struct Held<S> {
    head: Parts,
    inner: S,
    settings: Arc<Settings>,
}

pin_project! {
    /// The future of [`Key`].
    ///
    /// Cancel safety: dropping it drops the request and what was read of its body.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Body<B>>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<Body<B>>>,
    {
        Reading {
            #[pin]
            body: Collect<B>,
            // Made when the body first has to be waited for.
            deadline: Option<Pin<Box<Sleep>>>,
            held: Option<Held<S>>,
        },
        Calling { #[pin] inner: Calling<S, Request<Body<B>>> },
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<Body<B>>>,
{
    fn calling(inner: S, mut request: Request<Body<B>>, key: Option<RoutingKey>) -> Self {
        if let Some(key) = key {
            request.extensions_mut().insert(key);
        }
        Self::Calling { inner: eager::call(inner, request) }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>, Error: Into<BoxError>>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (bytes, held) = match state.as_mut().project() {
                StateProj::Calling { inner } => {
                    return Poll::Ready(ready!(inner.poll(cx)).map_err(Into::into));
                }
                StateProj::Reading { body, deadline, held } => {
                    let bytes = match body.poll(cx) {
                        Poll::Ready(bytes) => bytes?,
                        Poll::Pending => {
                            let after = held.as_ref().map_or(DEFAULT_DEADLINE, Held::deadline);
                            ready!(
                                deadline
                                    .get_or_insert_with(|| Box::pin(sleep(after)))
                                    .as_mut()
                                    .poll(cx)
                            );
                            return Poll::Ready(Err(Rejection::BodyTimedOut { after }.into()));
                        }
                    };
                    (bytes, held.take().expect("taken only when the state changes"))
                }
            };
            let request = Request::from_parts(held.head, Body::buffered(bytes.clone()));
            let key = held.settings.sources.find(Head::from(&request), &bytes);
            state.set(State::calling(held.inner, request, key));
        }
    }
}

impl<S> Held<S> {
    fn deadline(&self) -> Duration {
        self.settings.deadline
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
