//! What every call between peers carries beside its message.

use std::time::Duration;

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
};

/// Who sent a request: see [`Origin`].
pub const ORIGIN: &str = "kamaitachi-origin";
/// The sender's view of the ring.
pub const EPOCH: &str = "kamaitachi-epoch";
/// Peers a request has passed.
pub const HOPS: &str = "kamaitachi-hops";

/// Who a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Someone who uses the cache: what is missing here may be asked of its owner.
    #[default]
    Client,
    /// A peer, after so many: answered from here or the loader, never forwarded.
    Peer(u32),
}

impl Origin {
    /// Whether it comes from a peer.
    #[must_use]
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Peer(_))
    }

    /// Peers the request has passed.
    #[must_use]
    pub fn hops(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Peer(hops) => hops,
        }
    }
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passport {
    /// Who sent it.
    pub origin: Origin,
    /// The sender's epoch, when it said.
    pub epoch: Option<u64>,
}

impl Passport {
    /// Reads it. What has passed a peer is of a peer, whatever else it says.
    #[must_use]
    pub fn of(metadata: &MetadataMap) -> Self {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let hops = text(HOPS).and_then(|hops| hops.parse().ok()).unwrap_or(0);
        let origin = match text(ORIGIN) {
            // Whoever sent it is one.
            Some("peer") => Origin::Peer(hops.max(1)),
            _ if hops > 0 => Origin::Peer(hops),
            _ => Origin::Client,
        };
        Self { origin, epoch: text(EPOCH).and_then(|epoch| epoch.parse().ok()) }
    }
}

/// What is the same for every call of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    pub(super) bearer: Option<MetadataValue<Ascii>>,
}

impl Outgoing {
    /// A request of this peer to another on behalf of `origin`, with its deadline.
    pub(super) fn request<T>(
        &self,
        message: T,
        origin: Origin,
        epoch: u64,
        timeout: Duration,
    ) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        let metadata = request.metadata_mut();
        metadata.insert(ORIGIN, MetadataValue::from_static("peer"));
        metadata.insert(HOPS, MetadataValue::from(origin.hops().saturating_add(1)));
        metadata.insert(EPOCH, MetadataValue::from(epoch));
        if let Some(bearer) = &self.bearer {
            metadata.insert("authorization", bearer.clone());
        }
        request
    }
}

/// Whether a status says that the peer itself is in trouble, rather than the request.
pub(super) fn is_peers_fault(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passport_survives_the_way_and_hops_make_a_peer() {
        let request =
            Outgoing::default().request((), Origin::Client, u64::MAX, Duration::from_secs(1));
        let passport = Passport::of(request.metadata());
        assert_eq!(passport, Passport { origin: Origin::Peer(1), epoch: Some(u64::MAX) });
        let on = Outgoing::default().request((), passport.origin, 1, Duration::from_secs(1));
        assert_eq!(Passport::of(on.metadata()).origin, Origin::Peer(2), "each peer counts");
        let mut forged = MetadataMap::new();
        forged.insert(ORIGIN, "client".parse().unwrap());
        forged.insert(HOPS, "3".parse().unwrap());
        assert_eq!(Passport::of(&forged).origin, Origin::Peer(3));
        assert_eq!(Passport::of(&MetadataMap::new()), Passport::default());
    }
}
