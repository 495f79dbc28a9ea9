//! Retries a request that no upstream has taken, on the next member of the pool.
//!
//! [`NextNode`] is a policy for tower's [`RetryLayer`](tower::retry::RetryLayer), to be put right outside a
//! [`Select`](crate::select::Select). It only ever repeats what was *not taken*: nobody can have acted on it, so no
//! request is ever carried out twice. Who says so is the service that failed, by handing the request back with its
//! error: [`hand_back`]. [`CircuitBreaker`](crate::circuit_breaker::CircuitBreaker) does so when it refuses; an
//! upstream client should when it cannot connect, or when a kept-alive connection turns out closed before a byte of
//! the answer. That is also why a request costs nothing extra here until it fails: nothing is cloned beforehand.
//! Services that hand nothing back can be retried too, with [`NextNode::cloning`].
//!
//! A retry withdraws from a [`RetryBudget`](kamaitachi_policies::budget::RetryBudget) that all policies made from one
//! share, unless it was a breaker that refused: that cost nobody anything. It is made at once, since it goes to another member; there is
//! none when every member was tried.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Empty;
//! use kamaitachi_layers::{body::Body, retry::{NextNode, SharedBudget, hand_back}};
//! use kamaitachi_policies::budget::BudgetConfig;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, retry::RetryLayer, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let mut tries = 0;
//! let stack = ServiceBuilder::new()
//!     .layer(RetryLayer::new(NextNode::new(2, SharedBudget::new(BudgetConfig::default()))))
//!     .service(service_fn(|request: Request<Body<Empty<Bytes>>>| {
//!         // As a client would that could not connect.
//!         async { Err::<(), _>(hand_back(request, "connection refused")) }
//!     }));
//!
//! let error = stack.oneshot(Request::new(Body::empty())).await.unwrap_err();
//! assert_eq!(error.to_string(), "connection refused");
//! # let _ = &mut tries; Ok(()) }
//! ```
mod handed_back;
mod policy;
#[cfg(test)]
mod tests;

pub use handed_back::{HandedBack, hand_back};
pub use policy::{NextNode, SharedBudget};
pub(crate) use policy::{Tried, put_back, take_back};
