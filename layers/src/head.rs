//! The head of a request, borrowed: what functions that are passed to layers get to see.
//!
//! ```
//! use kamaitachi_layers::head::Head;
//!
//! let request = http::Request::builder().header("x-api-key", "k1").body(()).unwrap();
//! let head = Head::from(&request);
//! assert_eq!(head.headers["x-api-key"], "k1");
//! ```
use std::net::IpAddr;

use http::{Extensions, HeaderMap, Method, Request, Uri};

use crate::client;

/// Everything of a request except its body. Generic layers hand this out, so that such functions need not be
/// generic over the body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target as received, or as an outer layer rewrote it.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// What outer layers noted about the request.
    pub extensions: &'a Extensions,
}

impl Head<'_> {
    /// The client's address, as far as it is known: see [`client::ip`].
    #[must_use]
    pub fn client_ip(&self) -> Option<IpAddr> {
        client::ip(self.extensions)
    }
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Head {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}
