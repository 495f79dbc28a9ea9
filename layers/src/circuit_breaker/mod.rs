//! Stops asking an upstream that fails, and tries it again after a while.
//!
//! A [`Circuit`] is a named breaker that services, monitoring and whoever else share. While it is open, requests are
//! refused with [`Rejection::CircuitOpen`](crate::rejection::Rejection::CircuitOpen), which says when to come back, and never reach the inner service; the
//! refused request is [handed back](crate::retry::hand_back) with the error, so that it can be tried elsewhere. Every
//! admitted request reports exactly once, whatever becomes of it: success or failure as the classifier says, or
//! nothing at all when its future is dropped or panics before there is a response. So neither clients that leave nor
//! upstreams that hang use up the places of a half-open breaker. (Put a time-out *inside*, so that slowness is seen
//! as failure.)
//!
//! Unless another [classifier](CircuitBreakerLayer::classifying) is given, a status of 500 and above is a failure, and
//! so is an error, except a [`Rejection`](crate::rejection::Rejection) from further in, which says nothing about the upstream. What counts is the
//! response's head, not its body. Readiness is the inner service's.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use kamaitachi_layers::{circuit_breaker::{Circuit, CircuitBreakerLayer}, rejection::Rejection};
//! use kamaitachi_policies::breaker::BreakerConfig;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let circuit = Circuit::new("period@127.0.0.1:8081", BreakerConfig::default());
//! let stack = ServiceBuilder::new()
//!     .layer(CircuitBreakerLayer::new(circuit.clone()))
//!     .service(service_fn(|_: Request<Empty<Bytes>>| async {
//!         let mut response = Response::new(());
//!         *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
//!         Ok::<_, BoxError>(response)
//!     }));
//!
//! for _ in 0..10 {
//!     stack.clone().oneshot(Request::new(Empty::new())).await?;
//! }
//! let refused = stack.oneshot(Request::new(Empty::new())).await.unwrap_err();
//! assert!(matches!(Rejection::find(&*refused), Some(Rejection::CircuitOpen { .. })));
//! assert_eq!(circuit.snapshot().failures, 10);
//! # Ok(()) }
//! ```
mod circuit;
mod service;
#[cfg(test)]
mod tests;

pub use circuit::Circuit;
pub use service::{CircuitBreaker, CircuitBreakerLayer, ResponseFuture, classify};
