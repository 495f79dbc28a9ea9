//! Splits a request into parts that other members answer, runs them side by side, and merges their answers.
//!
//! How is passed in: a [`Split`] looks at the head and the buffered body of a request and makes parts of it, each with its own
//! key and body, or leaves it whole; a [`Merge`] makes one answer of theirs. Each part then goes the way of any
//! request: to the inner service, with its [`RoutingKey`](crate::key::RoutingKey), and so, behind a
//! [`retry`](crate::retry) and a [`select`](crate::select), to the owner of its key or, where that fails, to the successor.
//!
//! **All or nothing.** The answer is merged from all parts or is none: a part that fails fails the request with its
//! error, and a part's answer that [judges](Merge::judge) as final (any 5xx, unless told otherwise) is the answer. The
//! other parts are dropped then. Where parts cannot be put together (the merge says so, an answer judges so, as any 4xx
//! does, or they are longer than may be held), the request is sent once more, whole: so the answer is always one that
//! the inner service would give.
//!
//! **Bounds.** So many parts run at a time ([`at_once`](ScatterLayer::at_once)), the others wait; so many bytes of all
//! answers are held ([`limit`](ScatterLayer::limit)).
//!
//! A request with a body that is still streaming goes whole: put it behind [`key`](crate::key), which buffers.
//! Answers to whole requests stream as they did without this layer.
//!
//! It is always ready. The inner service is cloned for each part, and readiness is awaited on that clone.
//! No task is spawned: dropping the future drops every part.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use kamaitachi_layers::{body::Body, head::Head, key::RoutingKey, scatter::{Merge, Part, Parts, ScatterLayer, Split}};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! /// Every word is a part; their answers are put in one line.
//! struct Words;
//! struct Joined;
//!
//! impl Split for Words {
//!     type Merge = Joined;
//!     fn split(&self, _: Head<'_>, body: &Bytes) -> Option<Parts<Joined>> {
//!         let words = body.split(|byte| *byte == b' ').map(|word| body.slice_ref(word));
//!         let parts = words.map(|word| Part { key: RoutingKey(word.clone()), body: word }).collect();
//!         Some(Parts { parts, fields: Vec::new(), merge: Joined })
//!     }
//! }
//!
//! impl Merge for Joined {
//!     fn merge(self, answers: Vec<Response<Bytes>>) -> Option<Response<Bytes>> {
//!         let bodies: Vec<Bytes> = answers.into_iter().map(Response::into_body).collect();
//!         Some(Response::new(bodies.join(&b' ').into()))
//!     }
//! }
//!
//! type Answer = Response<Body<Empty<Bytes>>>;
//! let stack = ServiceBuilder::new().layer(ScatterLayer::new(Words)).service(service_fn(
//!     |request: Request<Body<Empty<Bytes>>>| async move {
//!         let word = request.body().bytes().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
//!         Ok::<Answer, BoxError>(Response::new(Body::buffered(word.into())))
//!     },
//! ));
//! let answer = stack.oneshot(Request::new(Body::buffered("one by one".into()))).await?;
//! assert_eq!(answer.body().bytes().unwrap(), "ONE BY ONE");
//! # Ok(()) }
//! ```
mod gather;
mod part;
mod service;
mod split;
#[cfg(test)]
mod tests;

pub use service::{DEFAULT_AT_ONCE, DEFAULT_LIMIT, Event, ResponseFuture, Scatter, ScatterLayer};
pub use split::{Merge, Part, Parts, Split, Verdict};
