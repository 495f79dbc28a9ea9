//! The layer and its service.
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use kamaitachi_policies::lateness::{Lateness, LatenessConfig};
use parking_lot::Mutex;
use tower::{BoxError, Layer, Service};

use super::{ResponseFuture, Ticker};
use crate::{body::Body, retry::SharedBudget};

/// What became of a late answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The answer of this member is late, and another one was asked.
    Sent {
        /// Who is late, if that is known.
        late: Option<&'a str>,
    },
    /// An answer is late, and there was no budget to ask another one.
    Unaffordable,
    /// Somebody who was asked later has answered, and this member has not.
    Lost {
        /// Who was asked before.
        late: &'a str,
    },
    /// Somebody who was asked because another was late gave the answer.
    Won,
}

type Observer = dyn Fn(Event<'_>) + Send + Sync;

/// Builds [`Hedge`] services. Those of one layer know how long each other's answers took. See the [module](super).
#[derive(Clone)]
pub struct HedgeLayer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) ticker: Ticker,
    pub(super) budget: SharedBudget,
    pub(super) lateness: Mutex<Lateness>,
    pub(super) most: u32,
    observer: Option<Box<Observer>>,
}

impl HedgeLayer {
    /// Asks one more when an answer is late by `lateness`, as long as `budget` pays for it.
    #[must_use]
    pub fn new(ticker: Ticker, budget: SharedBudget, lateness: LatenessConfig) -> Self {
        let lateness = Mutex::new(Lateness::new(lateness));
        Self { shared: Arc::new(Shared { ticker, budget, lateness, most: 2, observer: None }) }
    }

    /// Asks so many in all for one request, the first included, each after the one before is late. Default 2.
    #[must_use]
    pub fn at_most(self, tries: u32) -> Self {
        self.with(|shared| shared.most = tries)
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observing(self, observer: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.observer = Some(Box::new(observer)))
    }

    /// A layer that is changed is one of its own.
    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::try_unwrap(self.shared).unwrap_or_else(|shared| Shared {
            ticker: shared.ticker.clone(),
            budget: shared.budget.clone(),
            lateness: Mutex::new(shared.lateness.lock().clone()),
            most: shared.most,
            observer: None,
        });
        change(&mut shared);
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    pub(super) fn tell(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    pub(super) fn after(&self) -> Duration {
        self.lateness.lock().after()
    }
}

impl fmt::Debug for HedgeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer")
            .field("after", &self.shared.after())
            .field("most", &self.shared.most)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = Hedge<S>;

    fn layer(&self, inner: S) -> Hedge<S> {
        Hedge { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Asks another one when an answer is late. See the [module](super).
#[derive(Clone)]
pub struct Hedge<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for Hedge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body<B>>> for Hedge<S>
where
    S: Service<Request<Body<B>>, Error = BoxError> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body<B>>) -> Self::Future {
        let first = self.inner.call(request);
        ResponseFuture::new(first, self.inner.clone(), Arc::clone(&self.shared))
    }
}
