//! Who a request is counted for.
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
};

use http::HeaderName;

use crate::head::Head;

/// Who a request is counted for: a key of fixed size, whatever clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// An address; of IPv6 the /64 network, which is what one subscriber has.
    Ip(IpAddr),
    /// A keyed hash of a header's value.
    Token(u64),
}

impl Caller {
    /// The client's address, if it is known. See [`Head::client_ip`].
    #[must_use]
    pub fn by_ip(head: Head<'_>) -> Option<Self> {
        head.client_ip().map(|ip| match ip {
            IpAddr::V4(_) => Self::Ip(ip),
            IpAddr::V6(ip) => {
                Self::Ip(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into())
            }
        })
    }

    /// The value of a header, an API key say; the client's address where it is missing.
    ///
    /// Only sound where the value was checked before: who may choose it freely can have any number of buckets.
    pub fn by_header(name: HeaderName) -> impl Fn(Head<'_>) -> Option<Self> + Send + Sync {
        let hasher = RandomState::new();
        move |head| match head.headers.get(&name) {
            Some(value) => Some(Self::Token(hasher.hash_one(value.as_bytes()))),
            None => Self::by_ip(head),
        }
    }
}
