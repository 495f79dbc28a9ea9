//! Rate limits, as the configuration has them.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use http::Request;
use kamaitachi_layers::{
    head::Head,
    rate_limit::{Caller, RateLimitLayer},
};
use kamaitachi_policies::quota::{KeyedBuckets, Quota};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tower::util::MapRequestLayer;

use crate::config::{ClientKey, ClientLimit, RateLimits, RouteConfig};

/// What [`RateLimitLayer`] calls the limit of one client.
const CLIENT: &str = "client";

type Who = dyn Fn(Head<'_>) -> Option<Caller> + Send + Sync;

/// The buckets of single clients, which all routes share: a client has one allowance for everything.
#[derive(Clone)]
pub struct Clients {
    // One for all routes, since each made from a header hashes in its own way.
    who: Arc<Who>,
    buckets: Arc<KeyedBuckets<Caller>>,
}

impl Clients {
    /// No client known yet.
    #[must_use]
    pub fn new(limit: &ClientLimit) -> Self {
        let buckets = Arc::new(KeyedBuckets::new(limit.quota, limit.max_clients));
        let who: Arc<Who> = match limit.by.clone() {
            ClientKey::Ip => Arc::new(Caller::by_ip),
            ClientKey::Header(name) => Arc::new(Caller::by_header(name)),
        };
        Self { who, buckets }
    }

    /// Forgets clients that are at rest, again and again. Never ends.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn sweep(self) -> Result<(), Infallible> {
        let mut every = tokio::time::interval(Duration::from_secs(60));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.buckets.sweep(Instant::now().into_std());
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("known", &self.buckets.len()).finish_non_exhaustive()
    }
}

/// The limit of a route. `None` where neither the route nor its clients have one.
#[must_use]
pub fn rate_limit(
    limits: &RateLimits,
    route: &RouteConfig,
    clients: Option<&Clients>,
) -> Option<RateLimitLayer> {
    let unlimited = Quota::new(Quota::MAX_RATE, u32::MAX).ok();
    let quota = route.quota.or(unlimited.filter(|_| clients.is_some()));
    let quota = quota.filter(|_| limits.enabled)?;
    let mut layer = RateLimitLayer::new(Arc::clone(&route.name), quota);
    if let Some(Clients { who, buckets }) = clients.cloned() {
        layer = layer.keyed(CLIENT, buckets, move |head| who(head));
    }
    if let Some(key) = limits.exempt_key.clone() {
        layer = layer.exempting(move |head| is_exempt(head, &key));
    }
    Some(layer)
}

type Hide<B> = fn(Request<B>) -> Request<B>;

/// Takes the key that lifts limits out of requests, where there is one.
#[must_use]
pub fn hide_exempt_key<B>(limits: &RateLimits) -> Option<MapRequestLayer<Hide<B>>> {
    limits.exempt_key.as_ref().map(|_| {
        let hide: Hide<B> = |mut request| {
            request.headers_mut().remove(RateLimits::EXEMPT_HEADER);
            request
        };
        MapRequestLayer::new(hide)
    })
}

fn is_exempt(head: Head<'_>, key: &SecretString) -> bool {
    let sent = head.headers.get(RateLimits::EXEMPT_HEADER);
    sent.is_some_and(|sent| is_same(sent.as_bytes(), key.expose_secret().as_bytes()))
}

/// Whether two secrets are the same, in a time that depends on their lengths only.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_only_if_every_byte_is() {
        assert!(is_same(b"abc", b"abc"));
        for other in [&b"abd"[..], b"xbc", b"ab", b"abcd", b""] {
            assert!(!is_same(b"abc", other));
        }
    }
}
