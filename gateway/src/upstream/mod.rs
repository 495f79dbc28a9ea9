//! Requests to nodes: a lean HTTP/1.1 client that stays on its worker.
//!
//! A [`Node`] is an address that all workers share: its name, its [`Health`], its counters. Each worker has a [`Client`],
//! and from it an [`Endpoint`] for each node: a [`tower::Service`] that writes the request, reads the head of the answer and
//! hands out the rest as an [`UpstreamBody`]. Connections are kept and used again, last one first, on the worker that opened
//! them; no lock is taken and no task is woken on the way of a request but its own.
//!
//! What other clients do and this one does not: speak to untrusted servers on the client's behalf, follow anything, decompress
//! anything, upgrade, pipeline, speak HTTP/2.
//!
//! # When a request is sent again
//!
//! A server may close a connection that was kept at any time, and only the attempt to use it may show that. So when one ends
//! before a byte of the answer came, the request is sent once more on a fresh connection, provided that nobody can have acted
//! on it (nothing was written) or doing it twice does no harm ([`Endpoint::for_reads`], and methods that are safe by
//! definition), and its body is in memory. If a fresh connection fails as well, the request is
//! [handed back](kamaitachi_layers::retry::HandedBack) with the error, so that it can be tried on another node.
//!
//! The same goes for a read whose answer broke off within its head, and for one that a node answered with 503 and
//! [`X_KAMAITACHI_UNAVAILABLE`]: the error is [`UpstreamError::Unavailable`] then, and holds that answer, for when there is
//! no other node. A 503 without the mark is an answer like any other.
//!
//! # Time-outs
//!
//! One ticker for each worker keeps all times of [`Settings`], in steps of [`TICK`]: no timer is made, moved or dropped for a
//! request, which shows at tens of thousands of requests a second.
//!
//! # Trust
//!
//! An answer must be framed without doubt (RFC 9112, 6.3): one `Content-Length` of digits, or `Transfer-Encoding` that is
//! exactly `chunked`, never both. What is not is [`UpstreamError::BadResponse`], and its connection is closed; so is one on which
//! more comes than the answer. An answer that is cut off is an error of its body, never its end. Fields about the transfer are
//! taken out of an answer; other hop-by-hop fields are the [`forward`](kamaitachi_layers::forward) layer's.
mod body;
mod chunked;
mod client;
mod conn;
mod counters;
mod deadline;
mod error;
mod exchange;
mod fields;
mod health;
mod node;
mod request;
mod response;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod upload;

pub use body::UpstreamBody;
pub use client::{Client, Connector, Endpoint};
pub use counters::{Closed, Totals};
pub use deadline::TICK;
pub use error::{BadResponse, UpstreamError};
pub use exchange::{ResponseFuture, X_KAMAITACHI_UNAVAILABLE};
pub use health::{Ejected, Health, HealthConfig, LatePlaces, Probe, Prober};
pub use node::Node;
pub use settings::Settings;
