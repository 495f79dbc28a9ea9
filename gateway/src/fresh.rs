//! Lets a client read what it has just written.
//!
//! Nodes follow the master a few milliseconds behind. For a while after a write the reads that pass here tell their node
//! the write's revision ([`X_PREFER_REVISION`]), and it waits for it a moment; a node that stays behind answers all the
//! same, so a master or a link that is down costs reads no more than that. Whoever must not get older data says so with
//! `X-Kamaitachi-Min-Revision`. Readiness is the inner service's; without a write before it, a request costs one load.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request, Response};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::config::Target;

/// How new an answer should be, if that takes no more than a moment.
pub const X_PREFER_REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-prefer-revision");
/// Says in the answer to a write which revision it made.
const X_REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-revision");
/// For how long after a write reads ask for it. Nodes that are well have it long before.
const WINDOW: Duration = Duration::from_secs(2);

/// The newest write that passed the gateway lately: each counts for two seconds of its own, so that the revisions of a master
/// that began again from an older store are asked for as soon as the last one of before is that old.
#[derive(Debug)]
pub struct Latest {
    began: Instant,
    /// The highest of `noted`; 0 where there is none.
    revision: AtomicU64,
    /// When that one is out of date.
    until: AtomicU64,
    /// Writes that no later one has a higher revision than, in the order in which they came: the first is the highest. There
    /// is one as a rule.
    noted: Mutex<VecDeque<Noted>>,
}

/// A write that was answered.
#[derive(Debug)]
struct Noted {
    revision: u64,
    /// Milliseconds after the gateway began until which reads ask for it.
    until: u64,
}

impl Default for Latest {
    fn default() -> Self {
        let (revision, until) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { began: Instant::now(), revision, until, noted: Mutex::default() }
    }
}

impl Latest {
    /// Milliseconds since the gateway began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note(&self, revision: u64) {
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        let mut noted = self.noted.lock();
        let now = self.now();
        while noted.pop_back_if(|last| last.revision <= revision).is_some() {}
        noted.push_back(Noted { revision, until: now.saturating_add(window) });
        self.publish(&mut noted, now);
    }

    /// Forgets what is out of date and answers what is left.
    fn publish(&self, noted: &mut VecDeque<Noted>, now: u64) -> Option<u64> {
        while noted.pop_front_if(|first| first.until <= now).is_some() {}
        let first = noted.front();
        // In this order, so that whoever sees a revision does not take it for out of date.
        self.until.store(first.map_or(0, |first| first.until), Relaxed);
        self.revision.store(first.map_or(0, |first| first.revision), Release);
        first.map(|first| first.revision)
    }

    fn wanted(&self) -> Option<u64> {
        let revision = self.revision.load(Acquire);
        if revision == 0 {
            return None;
        }
        if self.now() < self.until.load(Relaxed) {
            return Some(revision);
        }
        let mut noted = self.noted.lock();
        let now = self.now();
        self.publish(&mut noted, now)
    }
}

/// Builds [`Fresh`] services.
#[derive(Clone, Debug)]
pub struct FreshLayer {
    latest: Arc<Latest>,
    target: Target,
}

impl FreshLayer {
    /// Notes the writes of a route to the master; asks for them on a route to the ring.
    #[must_use]
    pub fn new(latest: Arc<Latest>, target: Target) -> Self {
        Self { latest, target }
    }
}

impl<S> Layer<S> for FreshLayer {
    type Service = Fresh<S>;

    fn layer(&self, inner: S) -> Fresh<S> {
        Fresh { inner, layer: self.clone() }
    }
}

/// Notes writes, or asks for them. See the [module](self).
#[derive(Clone, Debug)]
pub struct Fresh<S> {
    inner: S,
    layer: FreshLayer,
}

impl<S, B, R> Service<Request<B>> for Fresh<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let notes = match self.layer.target {
            Target::Master => Some(Arc::clone(&self.layer.latest)),
            Target::Ring => {
                if let Some(revision) = self.layer.latest.wanted() {
                    request.headers_mut().insert(X_PREFER_REVISION, HeaderValue::from(revision));
                }
                None
            }
        };
        ResponseFuture { inner: self.inner.call(request), notes }
    }
}

pin_project! {
    /// The future of [`Fresh`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        notes: Option<Arc<Latest>>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let (Some(latest), Ok(response)) = (this.notes, &answer)
            && let Some(revision) = response.headers().get(X_REVISION)
            && let Some(revision) = revision.to_str().ok().and_then(|text| text.parse().ok())
        {
            latest.note(revision);
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// What a read through the gateway asks its node for.
    async fn asked(latest: &Arc<Latest>) -> Option<String> {
        let node = service_fn(async |request: Request<()>| {
            let asked = request.headers().get(X_PREFER_REVISION);
            Ok::<_, Infallible>(Response::new(asked.map(|v| v.to_str().unwrap().to_owned())))
        });
        let read = FreshLayer::new(Arc::clone(latest), Target::Ring).layer(node);
        read.oneshot(Request::new(())).await.unwrap().into_body()
    }

    async fn write(latest: &Arc<Latest>, revision: &'static str) {
        let master = service_fn(async |_: Request<()>| {
            let mut response = Response::new(());
            response.headers_mut().insert(X_REVISION, HeaderValue::from_static(revision));
            Ok::<_, Infallible>(response)
        });
        let write = FreshLayer::new(Arc::clone(latest), Target::Master).layer(master);
        write.oneshot(Request::new(())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn reads_ask_for_the_newest_write_for_a_while() {
        let latest = Arc::new(Latest::default());
        assert_eq!(asked(&latest).await, None);
        write(&latest, "7").await;
        write(&latest, "5").await;
        assert_eq!(asked(&latest).await.as_deref(), Some("7"));
        tokio::time::advance(WINDOW).await;
        assert_eq!(asked(&latest).await, None);
        // Also of a master that began again from an older store.
        write(&latest, "3").await;
        assert_eq!(asked(&latest).await.as_deref(), Some("3"));
        write(&latest, "nonsense").await;
        assert_eq!(asked(&latest).await.as_deref(), Some("3"));
    }

    /// Each write kept the highest revision alive, so one of before a master was restored was asked for as long as there were
    /// writes, and every read waited in vain.
    #[tokio::test(start_paused = true)]
    async fn a_revision_of_before_is_forgotten_while_writes_go_on() {
        let latest = Arc::new(Latest::default());
        write(&latest, "1001").await;
        for revision in ["6", "7", "8"] {
            tokio::time::advance(WINDOW / 4).await;
            write(&latest, revision).await;
            assert_eq!(asked(&latest).await.as_deref(), Some("1001"));
            assert_eq!(latest.noted.lock().len(), 2, "what is lower and older is of no more use");
        }
        tokio::time::advance(WINDOW / 4).await;
        assert_eq!(asked(&latest).await.as_deref(), Some("8"));
        write(&latest, "9").await;
        assert_eq!(asked(&latest).await.as_deref(), Some("9"));
        write(&latest, "8").await;
        assert_eq!(asked(&latest).await.as_deref(), Some("9"));
        tokio::time::advance(WINDOW).await;
        assert_eq!(asked(&latest).await, None);
        assert!(latest.noted.lock().is_empty());
    }
}
