//! Derives the key that a request is routed by, and notes it as a [`RoutingKey`].
//!
//! Where to look is an ordered list of [`KeySource`]s: fields of a JSON body, a header, a query parameter, a segment of
//! the path, a cookie, the client's address. The first that yields something counts; what is missing, empty, blank or of
//! another type is passed over. Of a comma-separated list, and of a JSON array, the first element that is not blank
//! is the key, trimmed; percent-encoding in paths and queries is decoded once.
//!
//! **The body.** Only where a body field may decide is the body read, up to a limit
//! ([`BodyTooLarge`](crate::rejection::Rejection::BodyTooLarge)) and within a deadline
//! ([`BodyTimedOut`](crate::rejection::Rejection::BodyTimedOut)); one that breaks off is refused
//! ([`BodyUnreadable`](crate::rejection::Rejection::BodyUnreadable)) and never forwarded cut. The very bytes that came are forwarded, and
//! the key is a slice of them. The fields are picked out in one pass that stops as soon as nothing better can follow;
//! nothing is kept of the rest, and nesting costs no stack. Whether the body is good JSON is for the next server to judge: what can be
//! read up to a mistake counts, and a body that is no object has no fields. Of a field that is there twice the first
//! counts. If a header or the like comes before all body fields and is there, or the request has no body, nothing is
//! buffered.
//!
//! It is always ready. The inner service is cloned, and readiness is awaited on that clone once the key is known, so
//! that a client with a slow body holds no permit further in. No timer is set unless the body has to be waited for.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use kamaitachi_layers::{body::Body, key::{KeyLayer, KeySources, RoutingKey}};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let sources = KeySources::parse(["header:x-subject", "body:subjects", "body:selection.subject", "client-ip"])?;
//! let stack = ServiceBuilder::new()
//!     .layer(KeyLayer::new(sources))
//!     .service(service_fn(|request: Request<Body<Full<Bytes>>>| async move {
//!         Ok::<_, BoxError>(request.extensions().get::<RoutingKey>().cloned())
//!     }));
//!
//! let body = Full::from(r#"{"ids":["a"],"subjects":" 33:000001, 17:600606"}"#);
//! let key = stack.clone().oneshot(Request::new(body)).await?;
//! assert_eq!(key, Some(RoutingKey::from("33:000001")));
//!
//! let request = Request::builder().header("x-subject", "33:300033").body(Full::default())?;
//! assert_eq!(stack.oneshot(request).await?, Some(RoutingKey::from("33:300033")));
//! # Ok(()) }
//! ```
mod head;
mod json;
mod routing_key;
mod service;
mod source;
#[cfg(test)]
mod tests;

pub use routing_key::RoutingKey;
pub use service::{DEFAULT_DEADLINE, DEFAULT_LIMIT, Key, KeyLayer, ResponseFuture};
pub use source::{InvalidKeySource, KeySource, KeySources, PathPattern};
