//! The duties of an HTTP intermediary: which fields pass, what is said about where the request came from.
//!
//! On the way in:
//!
//! - **Hop-by-hop fields** end here (RFC 9110, 7.6.1): whatever `Connection` names, and `Connection`, `Keep-Alive`,
//!   `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding` and `Upgrade`; so do `Proxy-Authorization` and
//!   `Proxy-Authenticate`, which are meant for proxies, and `Expect`, which the server in front of us answers. A field
//!   with an underscore in its name is dropped: some servers read it as one with a dash.
//! - **`Host`** must be there once and be a host (RFC 9112, 3.2); the authority of an absolute target (or HTTP/2's
//!   `:authority`) takes its place. What comes out is always an HTTP/1.1 request with a target in origin form and one
//!   `Host`.
//! - **`Cookie`** fields that HTTP/2 sends apart become one (RFC 9113, 8.2.3).
//! - **`X-Forwarded-For`, `-Proto`, `-Host`** say what this hop knows. From a trusted peer, what it sent is kept and
//!   the peer's address is appended; from anybody else everything of that kind, with `Forwarded` and `X-Real-IP`, is
//!   dropped first.
//! - **The client's address**: the peer's, or, reading `X-Forwarded-For` from the right through trusted proxies, the
//!   first that is not one of them. Where it differs from the peer's it is noted as
//!   [`ClientIp`](crate::client::ClientIp). The peer's is taken from [`PeerAddr`](crate::client::PeerAddr).
//! - **`Via`** is appended, with the version of HTTP that the message came in.
//! - `TRACE` and `CONNECT` are refused. All else, `traceparent` for one, passes untouched.
//!
//! On the way back: hop-by-hop fields end, `Via` is appended.
//!
//! Readiness is the inner service's. The fields are looked at in one pass, and most requests need no removal.
//!
//! ```
//! use http::{Request, Response};
//! use kamaitachi_layers::{client::PeerAddr, forward::ForwardLayer};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let stack = ServiceBuilder::new()
//!     .layer(ForwardLayer::new().trusting(["10.0.0.0/8".parse()?]))
//!     .service(service_fn(|request: Request<()>| async move {
//!         assert_eq!(request.headers()["x-forwarded-for"], "203.0.113.9, 10.0.0.7");
//!         assert_eq!(request.headers()["via"], "1.1 kamaitachi");
//!         assert!(!request.headers().contains_key("connection"));
//!         Ok::<_, BoxError>(Response::new(()))
//!     }));
//!
//! let mut request = Request::get("/x")
//!     .header("host", "example.com")
//!     .header("connection", "keep-alive")
//!     .header("x-forwarded-for", "203.0.113.9")
//!     .body(())?;
//! request.extensions_mut().insert(PeerAddr::new("10.0.0.7:4711".parse()?));
//! stack.oneshot(request).await?;
//! # Ok(()) }
//! ```
mod fields;
mod host;
mod service;
#[cfg(test)]
mod tests;
mod trust;

pub use service::{Forward, ForwardLayer, InvalidPseudonym, ResponseFuture};
