//! Refuses what is over a rate limit: one bucket for all, and if wanted one for each client.
//!
//! All services of one layer, and their clones, draw on the same buckets. A request that is over a limit is refused
//! with [`Rejection::RateLimited`](crate::rejection::Rejection::RateLimited), which says when to come back, and never reaches the inner service. The client's
//! own bucket is asked first, so that one client's flood takes nothing from what all share. Readiness is the inner
//! service's; it is asked for before the verdict, so what it reserves is kept by this service until its next call.
//!
//! ```
//! use http::Request;
//! use kamaitachi_layers::{rate_limit::RateLimitLayer, rejection::Rejection};
//! use kamaitachi_policies::quota::Quota;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let stack = ServiceBuilder::new()
//!     .layer(RateLimitLayer::new("period", Quota::new(1, 1)?))
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(()) }));
//!
//! assert!(stack.clone().oneshot(Request::new(())).await.is_ok());
//! let refused = stack.oneshot(Request::new(())).await.unwrap_err();
//! assert!(matches!(Rejection::find(&*refused), Some(Rejection::RateLimited { .. })));
//! # Ok(()) }
//! ```
//!
//! With a bucket for each client, and none for those who bring the operator's key:
//!
//! ```
//! use std::{num::NonZeroUsize, sync::Arc};
//! use kamaitachi_layers::rate_limit::{Caller, RateLimitLayer};
//! use kamaitachi_policies::quota::{KeyedBuckets, Quota};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let per_client = Arc::new(KeyedBuckets::new(Quota::new(10, 20)?, NonZeroUsize::new(10_000).unwrap()));
//! // Let one task call `per_client.sweep(now)` every minute or so.
//! let layer = RateLimitLayer::new("period", Quota::new(300, 500)?)
//!     .keyed("period of a client", per_client, Caller::by_ip)
//!     .exempting(|head| head.headers.get("x-load-test").is_some_and(|key| key == "let me in"));
//! # let _ = layer; Ok(()) }
//! ```
mod caller;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use layer::RateLimitLayer;
pub use service::{RateLimit, ResponseFuture};
