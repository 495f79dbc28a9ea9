//! Which values may become members.
//!
//! Whoever can write to etcd could otherwise make a gateway connect to anything it can reach: to the metadata service
//! of a cloud, to etcd itself, to its own listener. So a registration is input like any other: it has the form
//! `HOST:PORT`, and every address that HOST stands for lies in a network that was allowed.
//!
//! Link-local addresses (where clouds keep their metadata services), multicast, broadcast and the unspecified address
//! are refused even where an allowed network holds them. A name counts as what it resolves to at the time it is looked
//! at; `localhost` is loopback without asking anybody. Who controls a name that was allowed can later point it elsewhere:
//! where that matters, register addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::NodeAddr;

/// The networks that are allowed unless told otherwise: loopback and the private ranges of RFC 1918 and RFC 4193.
pub const DEFAULT_CIDRS: [&str; 6] =
    ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// Which values may become members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The networks that members may be in.
    pub networks: Vec<IpNet>,
    /// Addresses at which this process listens itself: requests to them would go round in circles. One that is
    /// unspecified stands for loopback too.
    pub own: Vec<SocketAddr>,
}

impl Default for Allow {
    fn default() -> Self {
        let networks = DEFAULT_CIDRS.iter().filter_map(|cidr| cidr.parse().ok()).collect();
        Self { networks, own: Vec::new() }
    }
}

/// Why a registration is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key or the value is not an address, or not in UTF-8.
    #[error("is not HOST:PORT")]
    NoAddress,
    /// The value names another address than the key does.
    #[error("its value is not the address that its key names")]
    NotItsKey,
    /// The name could not be resolved.
    #[error("its name does not resolve")]
    Unresolved,
    /// An address in a network that is not allowed.
    #[error("{0} is in none of discovery.allowed_cidrs")]
    NotAllowed(IpAddr),
    /// An address that is never allowed.
    #[error("{0} is link-local, multicast, broadcast or unspecified, which no node can be at")]
    Never(IpAddr),
    /// This process itself.
    #[error("is the address of this process itself")]
    Own,
    /// There are too many already.
    #[error("there are {0} nodes already, which is the most")]
    TooMany(usize),
}

impl Allow {
    /// Whether `addr` may become a member, where its host is `resolved`, see [`host_addresses`].
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, addr: &NodeAddr, resolved: &[IpAddr]) -> Result<(), Refusal> {
        if resolved.is_empty() {
            return Err(Refusal::Unresolved);
        }
        resolved.iter().try_for_each(|ip| self.check_ip(ip.to_canonical(), addr.port()))
    }

    fn check_ip(&self, ip: IpAddr, port: u16) -> Result<(), Refusal> {
        if is_never(ip) {
            return Err(Refusal::Never(ip));
        }
        if !self.networks.iter().any(|network| network.contains(&ip)) {
            return Err(Refusal::NotAllowed(ip));
        }
        if is_own(&self.own, ip, port) { Err(Refusal::Own) } else { Ok(()) }
    }
}

/// Whether a connection to `ip` and `port` would end at one of the addresses that this process listens at itself. One that is
/// unspecified stands for loopback too, on either side: who listens there can be met at loopback, and who connects there
/// connects to loopback.
#[must_use]
pub fn is_own(own: &[SocketAddr], ip: IpAddr, port: u16) -> bool {
    let ip = ip.to_canonical();
    own.iter().filter(|own| own.port() == port).any(|own| {
        let own = own.ip().to_canonical();
        let is_here = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
        let is_any = own.is_unspecified() || ip.is_unspecified();
        own == ip || (is_any && is_here(own) && is_here(ip))
    })
}

/// Where no node can be, whatever is allowed.
fn is_never(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local || ip.is_multicast() || ip.is_unspecified()
}

/// The addresses of a host that are known without asking: an IP address is itself, `localhost` is loopback. `None` is a
/// name that must be resolved.
#[must_use]
pub fn host_addresses(host: &str) -> Option<Vec<IpAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    host.parse().ok().map(|ip| vec![ip])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allow: &Allow, text: &str) -> Result<(), Refusal> {
        let addr: NodeAddr = text.parse().unwrap();
        allow.check(&addr, &host_addresses(addr.host()).unwrap_or_default())
    }

    #[test]
    fn loopback_and_private_networks_are_allowed_by_default() {
        let allow = Allow::default();
        for text in [
            "127.0.0.1:8081",
            "localhost:8081",
            "10.1.2.3:1",
            "172.31.255.255:80",
            "192.168.0.9:80",
            "[::1]:8081",
            "[fd00::1]:80",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert_eq!(check(&allow, text), Ok(()), "{text}");
        }
        for text in ["8.8.8.8:80", "172.32.0.1:80", "[2001:db8::1]:80"] {
            assert!(matches!(check(&allow, text), Err(Refusal::NotAllowed(_))), "{text}");
        }
        assert_eq!(check(&allow, "node-1:80"), Err(Refusal::Unresolved));
    }

    #[test]
    fn link_local_and_the_like_are_refused_whatever_is_allowed() {
        let allow = Allow {
            networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            own: Vec::new(),
        };
        for text in [
            "169.254.169.254:80",
            "[fe80::1]:80",
            "[::ffff:169.254.169.254]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
        ] {
            assert!(matches!(check(&allow, text), Err(Refusal::Never(_))), "{text}");
        }
        assert_eq!(check(&allow, "8.8.8.8:80"), Ok(()));
    }

    #[test]
    fn the_process_itself_is_no_node() {
        let own = vec!["127.0.0.1:9000".parse().unwrap(), "0.0.0.0:9901".parse().unwrap()];
        let allow = Allow { own, ..Allow::default() };
        for text in ["127.0.0.1:9000", "localhost:9000", "127.0.0.1:9901", "[::1]:9901"] {
            assert_eq!(check(&allow, text), Err(Refusal::Own), "{text}");
        }
        assert_eq!(check(&allow, "127.0.0.1:9001"), Ok(()));
        assert_eq!(check(&allow, "10.0.0.1:9000"), Ok(()));
    }

    #[test]
    fn an_unspecified_address_is_met_at_loopback() {
        let is_own = |own: &str, node: &str| {
            let node: SocketAddr = node.parse().unwrap();
            super::is_own(&[own.parse().unwrap()], node.ip(), node.port())
        };
        for (own, node) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "0.0.0.0:1"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("10.0.0.1:1", "[::ffff:10.0.0.1]:1"),
        ] {
            assert!(is_own(own, node), "{own} {node}");
        }
        for (own, node) in [
            ("0.0.0.0:1", "127.0.0.1:2"),
            ("0.0.0.0:1", "10.0.0.1:1"),
            ("10.0.0.1:1", "0.0.0.0:1"),
            ("127.0.0.1:1", "127.0.0.2:1"),
        ] {
            assert!(!is_own(own, node), "{own} {node}");
        }
    }

    #[test]
    fn a_name_is_refused_if_one_of_its_addresses_is() {
        let addr = "node-1:80".parse().unwrap();
        let ips = ["10.0.0.1".parse().unwrap(), "169.254.1.1".parse().unwrap()];
        assert!(Allow::default().check(&addr, &ips[..1]).is_ok());
        assert!(matches!(Allow::default().check(&addr, &ips), Err(Refusal::Never(_))));
    }
}
