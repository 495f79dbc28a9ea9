//! Warm hand-over: when the ring changes, the new owner of a subject gets what the former owner
//! has cached of it, so that its first readers do not all wait for the disk.
//!
//! **Joining**, before it says that it is ready, a node asks every other one for what the ring
//! with it gives to it. **Leaving**, while it finishes what is in flight, a node sends the others
//! what the ring without it gives to them. Both in one call a peer, hottest subjects first, within
//! a number of bytes and a time that no peer can stretch: one that is dead or hangs costs that
//! time at most, and what did not come is read from the node's own store.
//!
//! Nodes take from each other only what their own store proves: both must tell the same history,
//! the receiver must have come as far as the sender (it waits, within the time), and what was
//! written since is left out; see [`Parcel`](crate::query::Parcel).
//!
//! A subject that was missed is not asked of its former owner one by one: a read of it from the
//! own store takes as long as the way there and back.

mod client;
mod counters;
pub(crate) mod history;
mod join;
mod leave;

use std::{collections::BTreeSet, fmt, num::NonZeroU16, time::Duration};

use http::{HeaderMap, HeaderName, header};
use kamaitachi_discovery::Found;
use kamaitachi_policies::ring::{Ring, Spread};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use self::counters::Counters;
pub(crate) use self::join::Wanted;

/// Where a node asks for what it owns now.
pub(crate) const PULL: &str = "/internal/cache/pull";
/// Where a node sends what another owns now.
pub(crate) const PUSH: &str = "/internal/cache/push";
/// The shared secret of the nodes, where there is one.
const TOKEN: HeaderName = HeaderName::from_static("x-kamaitachi-peer-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Parcels packed or unpacked at a time for others.
const AT_A_TIME: usize = 2;

/// Whom a node hands over to and takes over from, and at what cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The nodes of the ring; the node's own address may be among them.
    pub nodes: Found,
    /// The name under which they register themselves.
    pub service: String,
    /// Points of each node on the ring, as the gateway has it.
    pub replicas: NonZeroU16,
    /// How points are spread, as the gateway has it.
    pub spread: Spread,
    /// The most that one peer gives or gets at a change, in bytes of JSON.
    pub max_bytes: usize,
    /// How long a change may take.
    pub time: Duration,
    /// What nodes prove to each other that they know, if anything.
    pub token: Option<SecretString>,
}

/// A node among its peers.
pub(crate) struct HandOver {
    own: String,
    settings: Settings,
    /// Bounds the memory that others can make this node use.
    pub(crate) busy: Semaphore,
    pub(crate) counters: Counters,
}

impl HandOver {
    /// The node that others know as `own`.
    pub(crate) fn new(own: &str, settings: Settings) -> Self {
        Self {
            own: own.to_owned(),
            settings,
            busy: Semaphore::new(AT_A_TIME),
            counters: Counters::default(),
        }
    }

    /// The other nodes of the ring, as of now.
    fn others(&self) -> BTreeSet<String> {
        let nodes = self.settings.nodes.now();
        nodes.iter().map(ToString::to_string).filter(|node| *node != self.own).collect()
    }

    /// Waits until etcd has told who is there, for as long as there is time. Cancel safe.
    async fn listed(&self, deadline: Instant) {
        let mut health = self.settings.nodes.health_changes();
        // Nobody looks for a list that stays as it is, which ends this at once.
        let _ = timeout_at(deadline, health.wait_for(|health| health.synced.is_some())).await;
    }

    /// Whether a request comes from a peer: it knows the secret, and has passed no proxy.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        let passed_on = headers.contains_key(header::VIA) || headers.contains_key(FORWARDED_FOR);
        let token = headers.get(TOKEN).map_or(&b""[..], |token| token.as_bytes());
        let known = self.settings.token.as_ref().map_or("", |token| token.expose_secret());
        !passed_on && (known.is_empty() || same(known.as_bytes(), token))
    }

    /// The most that one peer gives or gets, in bytes of JSON.
    pub(crate) fn max_bytes(&self) -> usize {
        self.settings.max_bytes
    }

    /// How long a change may take.
    pub(crate) fn time(&self) -> Duration {
        self.settings.time
    }

    /// The ring of these nodes.
    pub(crate) fn ring<'n>(&self, nodes: impl IntoIterator<Item = &'n str>) -> Ring {
        Ring::new(nodes, self.settings.replicas, self.settings.spread)
    }
}

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOver")
            .field("own", &self.own)
            .field("others", &self.others())
            .finish_non_exhaustive()
    }
}

/// Whether `ring` gives `subject` to `node`.
pub(crate) fn owns(ring: &Ring, node: &str, subject: &str) -> bool {
    ring.owner(subject.as_bytes()).and_then(|owner| ring.name(owner)) == Some(node)
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn settings(nodes: &[&str], token: Option<&str>) -> Settings {
        Settings {
            nodes: Found::fixed(nodes.iter().map(|node| node.parse().unwrap()).collect()),
            service: "kamaitachi-slave".into(),
            replicas: kamaitachi_policies::ring::DEFAULT_REPLICAS,
            spread: Spread::Plain,
            max_bytes: 1 << 20,
            time: Duration::from_secs(2),
            token: token.map(SecretString::from),
        }
    }

    #[test]
    fn only_who_knows_the_token_and_came_straight_is_a_peer() {
        let node = HandOver::new("a:1", settings(&["a:1", "b:1", "b:1"], Some("open sesame")));
        assert_eq!(node.others().into_iter().collect::<Vec<_>>(), ["b:1"]);
        let mut headers = HeaderMap::new();
        assert!(!node.knows(&headers));
        headers.insert(TOKEN, HeaderValue::from_static("open sesama"));
        assert!(!node.knows(&headers));
        headers.insert(TOKEN, HeaderValue::from_static("open sesame"));
        assert!(node.knows(&headers));
        for proxied in [header::VIA, FORWARDED_FOR] {
            let mut headers = headers.clone();
            headers.insert(proxied, HeaderValue::from_static("1.1 kamaitachi"));
            assert!(!node.knows(&headers));
        }
        let open = HandOver::new("a:1", settings(&["b:1"], None));
        assert!(open.knows(&HeaderMap::new()));
    }
}
