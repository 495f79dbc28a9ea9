//! The layer and the limits it holds.
use std::{fmt, hash::Hash, sync::Arc};

use kamaitachi_policies::quota::{Bucket, KeyedBuckets, Quota, Verdict};
use tokio::time::Instant;
use tower::Layer;

use super::RateLimit;
use crate::{head::Head, rejection::Rejection};

/// Builds [`RateLimit`] services. See the [module](super).
#[derive(Clone)]
pub struct RateLimitLayer {
    limits: Arc<Limits>,
}

pub(super) struct Limits {
    name: Arc<str>,
    bucket: Bucket,
    keyed: Option<(Arc<str>, Arc<AskKeyed>)>,
    exempt: Option<Arc<IsExempt>>,
}

type AskKeyed = dyn Fn(Head<'_>, std::time::Instant) -> Verdict + Send + Sync;
type IsExempt = dyn Fn(Head<'_>) -> bool + Send + Sync;

impl RateLimitLayer {
    /// One bucket with this quota for all requests. The name says in refusals which limit it was.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, quota: Quota) -> Self {
        let bucket = Bucket::new(quota);
        Self { limits: Arc::new(Limits { name: name.into(), bucket, keyed: None, exempt: None }) }
    }

    /// Gives a bucket of its own to each `key` beside the one for all; without a key only that one counts.
    ///
    /// The buckets are passed in, so that one task can sweep them and several layers can share them.
    #[must_use]
    pub fn keyed<K>(
        self,
        name: impl Into<Arc<str>>,
        buckets: Arc<KeyedBuckets<K>>,
        key: impl Fn(Head<'_>) -> Option<K> + Send + Sync + 'static,
    ) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        let ask = move |head: Head<'_>, now| {
            key(head).map_or(Verdict::Admit, |key| buckets.take(&key, now))
        };
        self.with(|limits| limits.keyed = Some((name.into(), Arc::new(ask))))
    }

    /// Counts no request for which `exempt` is true, against no bucket.
    #[must_use]
    pub fn exempting(self, exempt: impl Fn(Head<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.with(|limits| limits.exempt = Some(Arc::new(exempt)))
    }

    // A layer is set up before it is shared; one that is shared already starts with a full bucket of its own.
    fn with(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        if Arc::get_mut(&mut self.limits).is_none() {
            let shared = &self.limits;
            self.limits = Arc::new(Limits {
                name: Arc::clone(&shared.name),
                bucket: Bucket::new(shared.bucket.quota()),
                keyed: shared.keyed.clone(),
                exempt: shared.exempt.clone(),
            });
        }
        if let Some(limits) = Arc::get_mut(&mut self.limits) {
            change(limits);
        }
        self
    }
}

impl Limits {
    pub(super) fn ask(&self, head: Head<'_>) -> Result<(), Rejection> {
        if self.exempt.as_ref().is_some_and(|exempt| exempt(head)) {
            return Ok(());
        }
        let now = Instant::now().into_std();
        if let Some((name, ask)) = &self.keyed
            && let Verdict::Refuse(retry_after) = ask(head, now)
        {
            return Err(Rejection::RateLimited { limit: Arc::clone(name), retry_after });
        }
        match self.bucket.take(now) {
            Verdict::Admit => Ok(()),
            Verdict::Refuse(retry_after) => {
                Err(Rejection::RateLimited { limit: Arc::clone(&self.name), retry_after })
            }
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("name", &self.name)
            .field("quota", &self.bucket.quota())
            .field("keyed", &self.keyed.as_ref().map(|(name, _)| name))
            .field("exempting", &self.exempt.is_some())
            .finish()
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limits", &self.limits).finish()
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.limits))
    }
}
