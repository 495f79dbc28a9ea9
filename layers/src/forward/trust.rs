//! What is said about where a request came from, and whose word is taken for it.
use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::fields::Found;
use crate::client::PeerAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The networks whose proxies are believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted(pub(super) Arc<[IpNet]>);

impl Trusted {
    fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// Puts this hop's word into `headers`, of which `found` tells what came in. Answers the client's address where it is
/// not the peer's.
pub(super) fn vouch(
    headers: &mut HeaderMap,
    found: Found,
    peer: Option<&PeerAddr>,
    trusted: &Trusted,
    proto: &HeaderValue,
) -> Option<IpAddr> {
    let believed = peer.filter(|peer| !found.vouching.is_empty() && trusted.contains(peer.ip()));
    if let Some(peer) = believed {
        return pass_on(headers, found.host, peer, trusted, proto);
    }
    for name in &found.vouching {
        headers.remove(name);
    }
    if let Some(peer) = peer {
        headers.insert(X_FORWARDED_FOR, peer.text().clone());
    }
    headers.insert(X_FORWARDED_PROTO, proto.clone());
    if let Some(host) = found.host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    None
}

/// Keeps what a trusted peer said and appends the peer itself.
fn pass_on(
    headers: &mut HeaderMap,
    host: Option<HeaderValue>,
    peer: &PeerAddr,
    trusted: &Trusted,
    proto: &HeaderValue,
) -> Option<IpAddr> {
    let mut chain = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let client = client(&chain, trusted);
    chain.extend_from_slice(peer.text().as_bytes());
    // Cannot fail: made of valid values.
    if let Ok(chain) = HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert_with(|| proto.clone());
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    client.filter(|client| *client != peer.ip())
}

/// The last address of `chain` that no trusted proxy has; if all are trusted, the first. What cannot be read as an
/// address ends the search: who wrote it cannot be told, so the hop that passed it on is as far as one can see.
fn client(chain: &[u8], trusted: &Trusted) -> Option<IpAddr> {
    let mut seen = None;
    for hop in chain.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if hop.is_empty() {
            continue;
        }
        let Some(ip) = address(hop) else { return seen };
        seen = Some(ip);
        if !trusted.contains(ip) {
            return seen;
        }
    }
    seen
}

/// An address, with or without a port, with or without brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare
        .parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}
