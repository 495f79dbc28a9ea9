//! Who sent a request: the address at the other end of the connection, and the client's own, which differs where
//! a trusted proxy stands between.
//!
//! Whoever accepts connections puts a [`PeerAddr`] into each request; [`forward`](crate::forward) derives the
//! client from it and notes a [`ClientIp`] where that is another address.
//!
//! ```
//! use kamaitachi_layers::client::{self, ClientIp, PeerAddr};
//!
//! let mut request = http::Request::new(());
//! request.extensions_mut().insert(PeerAddr::new("10.0.0.7:4711".parse().unwrap()));
//! assert_eq!(client::ip(request.extensions()), Some("10.0.0.7".parse().unwrap()));
//!
//! request.extensions_mut().insert(ClientIp("203.0.113.9".parse().unwrap()));
//! assert_eq!(client::ip(request.extensions()), Some("203.0.113.9".parse().unwrap()));
//! ```
use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderValue};

/// The address at the other end of the connection that a request came on.
///
/// Make it once for a connection and clone it into each request: it carries its own text, so that no request pays
/// for formatting it.
#[derive(Clone, Debug)]
pub struct PeerAddr {
    addr: SocketAddr,
    text: HeaderValue,
}

impl PeerAddr {
    /// Notes `addr`, with an IPv4 address that came over an IPv6 socket (`::ffff:a.b.c.d`) as IPv4.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        let ip = addr.ip().to_canonical();
        let text = HeaderValue::from_str(&ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { addr: SocketAddr::new(ip, addr.port()), text }
    }

    /// The address and port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address alone.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// The address alone, as text.
    #[must_use]
    pub fn text(&self) -> &HeaderValue {
        &self.text
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr)
    }
}

/// The client's address where it is not the peer's, as told by proxies that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

/// The client's address: [`ClientIp`] if it was noted, else the peer's, else none.
#[must_use]
pub fn ip(extensions: &Extensions) -> Option<IpAddr> {
    extensions
        .get::<ClientIp>()
        .map(|client| client.0)
        .or_else(|| extensions.get::<PeerAddr>().map(PeerAddr::ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_the_same_client() {
        let peer = PeerAddr::new("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(peer.ip(), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(peer.text(), "192.0.2.1");
    }
}
