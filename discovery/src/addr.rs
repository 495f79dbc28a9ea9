//! The address of a node, as it is written.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest text that is taken for an address: a name of 253 bytes, a colon and a port, rounded up.
const LONGEST: usize = 260;

/// `HOST:PORT` of a node. The text is kept as it was written: it is the node's name on the ring, in metrics and in
/// `X-Kamaitachi-Node`, and to change it moves the node's keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddr(Arc<str>);

impl NodeAddr {
    /// The address as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address as written, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        // Was seen to be a number when the address was made.
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }
}

/// A text that is not the address of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT such as \"127.0.0.1:8081\", without a scheme or a path, found {0:?}")]
pub struct InvalidNodeAddr(String);

impl FromStr for NodeAddr {
    type Err = InvalidNodeAddr;

    fn from_str(text: &str) -> Result<Self, InvalidNodeAddr> {
        let text = text.trim();
        if text.len() > LONGEST {
            let cut: String = text.chars().take(40).collect();
            return Err(InvalidNodeAddr(format!("{cut}…")));
        }
        let parts = text.rsplit_once(':');
        let known = parts.is_some_and(|(host, port)| {
            is_host(host)
                && port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if known { Ok(Self(text.into())) } else { Err(InvalidNodeAddr(text.to_owned())) }
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed)
}

impl serde::Serialize for NodeAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_as_it_was_written() {
        for text in ["127.0.0.1:8081", "localhost:8081", "node-1.rack_2.example:80", "[::1]:8081"] {
            assert_eq!(text.parse::<NodeAddr>().unwrap().as_str(), text);
        }
        let address = "[::1]:8081".parse::<NodeAddr>().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 8081));
    }

    #[test]
    fn refuses_what_is_no_host_and_port() {
        for text in [
            "",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            ":8081",
            "http://localhost:8081",
            "localhost:8081/data",
            "::1:8081",
            "a b:1",
            "u@h:1",
        ] {
            assert!(text.parse::<NodeAddr>().is_err(), "{text:?} was taken");
        }
        let long = format!("{}:80", "a".repeat(1 << 20));
        let refused = long.parse::<NodeAddr>().unwrap_err();
        assert!(refused.to_string().len() < 300, "a long text is told whole");
    }
}
