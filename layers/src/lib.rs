//! tower layers for reverse proxies, each usable alone in anyone's `ServiceBuilder`.
//!
//! Every layer enacts a decision that is taken elsewhere (in `kamaitachi-policies`, or in a function that is
//! passed in) and passes on whatever it is not about. A request met by all of them goes this way:
//!
//! [`request_id`] → [`forward`] → [`route`] → [`rate_limit`] → [`rewrite`] → [`key`] → [`scatter`] →
//! [`retry`] → [`hedge`] → [`select`] → [`circuit_breaker`] → your upstream client.
//!
//! What they share: errors are [`BoxError`](tower::BoxError)s that hold either a [`Rejection`](rejection::Rejection)
//! of ours or the inner service's own error, untouched; bodies are anything that implements
//! [`http_body::Body`], and behind [`key`] a [`Body`](body::Body), which is streaming or buffered. Nothing here
//! spawns a task or asks for `Send`, and a future is boxed only to wait for a service that is not ready.
pub mod body;
pub mod circuit_breaker;
pub mod client;
mod eager;
pub mod forward;
pub mod head;
pub mod hedge;
pub mod key;
pub mod rate_limit;
pub mod rejection;
pub mod request_id;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod scatter;
pub mod select;

#[cfg(test)]
mod testing;
