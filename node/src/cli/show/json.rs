//! What came of a command, as JSON.

use serde_json::{Value as Json, json};

use super::super::run::{Report, Value};
use crate::group::proto;

/// One object for each command; an array of them for values.
pub(super) fn of(report: &Report) -> Json {
    match report {
        Report::Values { values, .. } => Json::Array(values.iter().map(value_json).collect()),
        Report::Written { verb, reply, .. } => json!({
            "command": verb, "existed": reply.existed, "acknowledged": reply.acknowledged,
            "asked": reply.asked, "satisfied": reply.satisfied,
        }),
        Report::Ttl(key, reply) => json!({
            "key": key, "found": reply.found, "negative": reply.negative, "ttl_ms": reply.ttl_ms, "bytes": reply.bytes,
        }),
        Report::Keys { page, .. } => json!({
            "keys": page.keys.iter().map(|k| json!({"key": k.key, "bytes": k.bytes, "ttl_ms": k.ttl_ms})).collect::<Vec<_>>(),
            "cursor": page.cursor, "unreachable": page.unreachable,
        }),
        Report::Stats(stats) => stats_json(stats),
        Report::Peers(reply) => json!({
            "self": reply.self_, "service": reply.service, "epoch": format!("{:016x}", reply.epoch),
            "peers": reply.peers.iter().map(peer_json).collect::<Vec<_>>(),
        }),
        Report::Owner(key, reply) => json!({
            "key": key, "owner": reply.owner, "is_self": reply.is_self, "successors": reply.successors,
            "targets": reply.targets, "epoch": format!("{:016x}", reply.epoch),
        }),
        Report::Places(key, places) => json!({
            "key": key,
            "peers": places.iter().map(|place| match &place.held {
                Ok(held) => json!({"addr": place.addr, "owner": place.is_owner, "found": held.found, "bytes": held.bytes, "ttl_ms": held.ttl_ms}),
                Err(problem) => json!({"addr": place.addr, "owner": place.is_owner, "error": problem.to_string()}),
            }).collect::<Vec<_>>(),
        }),
        Report::Using { addr, group } => json!({ "addr": addr, "group": group }),
        Report::Help(text) => json!({ "help": text }),
        Report::Quit => json!({}),
    }
}

fn value_json(value: &Value) -> Json {
    let mut object = json!({
        "key": value.key, "source": value.source.as_str_name(), "node": value.node,
        "ttl_ms": value.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
    });
    match std::str::from_utf8(&value.value) {
        Ok(text) => object["value"] = json!(text),
        Err(_) => object["value_bytes"] = json!(value.value.as_ref()),
    }
    object
}

fn peer_json(peer: &proto::Peer) -> Json {
    json!({
        "addr": peer.addr, "state": super::state(peer.state()), "share": peer.share, "queue_entries": peer.queue_entries,
        "queue_bytes": peer.queue_bytes, "acknowledged": peer.acknowledged, "failed": peer.failed,
        "dropped": peer.dropped, "rtt_us": peer.rtt_us, "last_error": peer.last_error,
    })
}

fn stats_json(stats: &proto::StatsReply) -> Json {
    json!({
        "group": stats.group, "node": stats.node, "entries": stats.entries, "bytes": stats.bytes,
        "max_bytes": stats.max_bytes, "hits_local": stats.hits_local, "hits_peer": stats.hits_peer,
        "hits_hot": stats.hits_hot, "misses": stats.misses, "loads": stats.loads, "load_errors": stats.load_errors,
        "load_seconds": stats.load_seconds, "loads_shared": stats.loads_shared, "sets": stats.sets,
        "deletes": stats.deletes, "clears": stats.clears, "evictions": stats.evictions, "expired": stats.expired,
        "refused_old": stats.refused_old, "tombstones": stats.tombstones, "hot_entries": stats.hot_entries,
        "hot_bytes": stats.hot_bytes, "sync_acknowledged": stats.sync_acknowledged, "sync_failed": stats.sync_failed,
        "sync_dropped": stats.sync_dropped, "queue_entries": stats.queue_entries, "queue_bytes": stats.queue_bytes,
        "peers": stats.peers, "max_hops": stats.max_hops, "uptime_ms": stats.uptime_ms, "strategy": stats.strategy,
        "nodes_summed": stats.nodes_summed, "unreachable": stats.unreachable,
    })
}
