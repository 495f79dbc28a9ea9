//! Answers as they go over the wire.

use super::super::{Change, ChangeKind, PeerState, peers::View, proto};

pub(super) fn to_wire(change: Change, values: bool) -> proto::Change {
    use proto::change::Kind;
    let kind = match change.kind {
        ChangeKind::Set => Kind::Set,
        ChangeKind::Deleted => Kind::Delete,
        ChangeKind::Cleared => Kind::Clear,
        ChangeKind::Expired => Kind::Expired,
        ChangeKind::Evicted => Kind::Evicted,
    };
    proto::Change {
        kind: kind.into(),
        key: change.key.to_string(),
        value: change.value.filter(|_| values && change.kind == ChangeKind::Set),
        version: change.version.map(Into::into),
        from_peer: change.from_peer,
        missed: 0,
    }
}

pub(super) fn peers_of(view: &View) -> Vec<proto::Peer> {
    let peer = |node: &_| {
        let addr = view.name(*node).to_string();
        let share = view.ring().share(*node);
        let Some(link) = view.link(*node) else {
            let state = proto::PeerState::Self_.into();
            return proto::Peer { addr, share, state, ..Default::default() };
        };
        let info = link.info();
        let state = match info.state {
            PeerState::New => proto::PeerState::New,
            PeerState::Alive => proto::PeerState::Alive,
            PeerState::Ejected => proto::PeerState::Ejected,
        };
        proto::Peer {
            addr,
            share,
            state: state.into(),
            queue_entries: info.queue.0 as u64,
            queue_bytes: info.queue.1 as u64,
            acknowledged: info.acknowledged,
            failed: info.failed,
            dropped: info.dropped,
            rtt_us: u64::try_from(info.rtt.as_micros()).unwrap_or(u64::MAX),
            last_error: info.last_error.as_deref().unwrap_or_default().to_owned(),
        }
    };
    view.nodes().iter().map(peer).collect()
}

pub(super) fn add(sum: &mut proto::StatsReply, other: &proto::StatsReply) {
    macro_rules! add {
        ($($field:ident)*) => { $(sum.$field += other.$field;)* };
    }
    add!(entries bytes max_bytes hits_local hits_peer hits_hot misses loads load_errors
         load_seconds loads_shared sets deletes clears evictions expired refused_old tombstones
         hot_entries hot_bytes sync_acknowledged sync_failed sync_dropped queue_entries
         queue_bytes nodes_summed);
    sum.max_hops = sum.max_hops.max(other.max_hops);
    sum.uptime_ms = sum.uptime_ms.max(other.uptime_ms);
}
