//! When to try again.
use std::{
    error::Error,
    fmt,
    future::{Ready, ready},
    sync::Arc,
};

use bytes::Bytes;
use http::Request;
use kamaitachi_policies::budget::{BudgetConfig, RetryBudget};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{BoxError, retry::Policy};

use super::HandedBack;
use crate::{body::Body, rejection::Rejection, select::Failed};

/// The members that a request was tried on, as a request extension: [`Select`](crate::select::Select) passes them over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    members: Vec<Arc<str>>,
    /// Whether nobody is better than somebody who is down.
    only_fit: bool,
}

impl Tried {
    pub(crate) fn contains(&self, member: &str) -> bool {
        self.members.iter().any(|tried| **tried == *member)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_only_fit(&self) -> bool {
        self.only_fit
    }

    pub(crate) fn set_only_fit(&mut self, only_fit: bool) {
        self.only_fit = only_fit;
    }

    pub(crate) fn extend(&mut self, members: impl IntoIterator<Item = Arc<str>>) {
        self.members.extend(members);
    }
}

/// A retry budget that several policies draw on. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct SharedBudget(Arc<Mutex<RetryBudget>>);

impl SharedBudget {
    /// A budget that holds its reserve.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Self {
        Self(Arc::new(Mutex::new(RetryBudget::new(config))))
    }

    /// How many retries it could pay for now.
    #[must_use]
    pub fn balance(&self) -> u64 {
        self.0.lock().balance(Instant::now().into_std())
    }

    fn deposit(&self) {
        self.0.lock().deposit(Instant::now().into_std());
    }

    pub(crate) fn withdraw(&self) -> bool {
        self.0.lock().withdraw(Instant::now().into_std())
    }

    /// Takes back a withdrawal that was not needed after all.
    pub(crate) fn give_back(&self) {
        self.0.lock().give_back(Instant::now().into_std());
    }
}

type NotTaken = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// Tries again what was not taken. See the [module](super).
#[derive(Clone)]
pub struct NextNode {
    /// Tries that may still be made beyond the first, refusals of breakers not counted.
    left: u32,
    /// Whether anything is ever tried again.
    repeats: bool,
    fresh: bool,
    budget: SharedBudget,
    not_taken: Option<Arc<NotTaken>>,
}

impl NextNode {
    /// At most `tries` in all; 1 means no retry, and costs nothing. A pool's member whose breaker refuses was not
    /// tried: the next one is asked however many refuse.
    ///
    /// Retries only what was [handed back](super::hand_back).
    #[must_use]
    pub fn new(tries: u32, budget: SharedBudget) -> Self {
        let left = tries.saturating_sub(1);
        Self { left, repeats: left > 0, fresh: true, budget, not_taken: None }
    }

    /// Also retries on errors which `not_taken` says are of that kind, from services that hand nothing back.
    ///
    /// Every request whose body is in memory is cloned for it beforehand, fields and all.
    #[must_use]
    pub fn cloning(
        mut self,
        not_taken: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.not_taken = Some(Arc::new(not_taken));
        self
    }

    /// Whether a retry after `error` is paid for. A breaker's refusal is free: nobody was asked.
    fn is_affordable(&self, error: &(dyn Error + 'static)) -> bool {
        is_refusal(error) || self.budget.withdraw()
    }
}

/// Whether a breaker refused, and nobody was asked.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    matches!(Rejection::find(error), Some(Rejection::CircuitOpen { .. }))
}

impl fmt::Debug for NextNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextNode")
            .field("retries", &self.left)
            .field("cloning", &self.not_taken.is_some())
            .finish_non_exhaustive()
    }
}

impl<B, R> Policy<Request<Body<B>>, R, BoxError> for NextNode {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<Body<B>>,
        result: &mut Result<R, BoxError>,
    ) -> Option<Ready<()>> {
        // The policy is cloned for each request, and this is called after each of its tries.
        if std::mem::take(&mut self.fresh) {
            self.budget.deposit();
        }
        let error = result.as_mut().err()?;
        let failed = error.downcast_ref::<Failed>();
        let was_last = failed.is_some_and(Failed::was_last);
        // Only a pool knows whom it has asked; without one this could go on for ever.
        let is_free = failed.is_some() && is_refusal(&**error);
        if !self.repeats || was_last || (self.left == 0 && !is_free) {
            return None;
        }
        let is_cloned = self.not_taken.as_ref().is_some_and(|not_taken| not_taken(&**error));
        let handed_back = take_request(error);
        if (!is_cloned && handed_back.is_none()) || !self.is_affordable(&**error) {
            return None;
        }
        if let Some(handed_back) = handed_back {
            *request = handed_back.map(Body::buffered);
        }
        if let Some(failed) = error.downcast_ref::<Failed>() {
            let tried: &mut Tried = request.extensions_mut().get_or_insert_default();
            tried.extend([Arc::clone(failed.member())]);
        }
        if !is_free {
            self.left -= 1;
        }
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body<B>>) -> Option<Request<Body<B>>> {
        if !self.repeats {
            return None;
        }
        if self.not_taken.is_none() {
            // A place for what may be handed back.
            return Some(Request::new(Body::empty()));
        }
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.version_mut() = request.version();
        *clone.headers_mut() = request.headers().clone();
        *clone.extensions_mut() = request.extensions().clone();
        Some(clone)
    }
}

/// The request that came back with `error`, fit to be sent to the next member, if there is one.
pub(crate) fn take_back(error: &mut BoxError) -> Option<Request<Bytes>> {
    let failed = error.downcast_ref::<Failed>();
    if failed.is_some_and(Failed::was_last) {
        return None;
    }
    let member = failed.map(|failed| Arc::clone(failed.member()));
    let mut request = take_request(error)?;
    let tried: &mut Tried = request.extensions_mut().get_or_insert_default();
    tried.extend(member);
    Some(request)
}

/// `error` with a request that was [taken out](take_back) of it, for whoever else would send it on.
pub(crate) fn put_back(mut request: Request<Bytes>, error: BoxError) -> BoxError {
    if let Some(tried) = request.extensions_mut().get_mut::<Tried>() {
        tried.set_only_fit(false);
    }
    HandedBack::new(request, error).into()
}

/// The request that came back with `error`, taken out of it.
fn take_request(error: &mut BoxError) -> Option<Request<Bytes>> {
    if let Some(failed) = error.downcast_mut::<Failed>() {
        return failed.take_request();
    }
    error.downcast_mut::<HandedBack>().map(|back| std::mem::take(&mut back.request))
}
