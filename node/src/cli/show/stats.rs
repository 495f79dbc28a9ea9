//! The counters of a node, for people.

use std::{fmt::Write as _, time::Duration};

use super::super::human::{count, percent, size, time};
use crate::group::proto::StatsReply;

/// A line for each thing that is counted.
pub(super) fn table(stats: &StatsReply) -> String {
    let rows = [
        ("group", whose(stats)),
        (
            "entries",
            format!("{}, {} of {}", count(stats.entries), size(stats.bytes), size(stats.max_bytes)),
        ),
        ("hit rate", hit_rate(stats)),
        ("hits", hits(stats)),
        ("loads", loads(stats)),
        ("writes", writes(stats)),
        ("gone", format!("{} evicted, {} expired", count(stats.evictions), count(stats.expired))),
        ("hot copies", format!("{}, {}", count(stats.hot_entries), size(stats.hot_bytes))),
        ("sync", sync(stats)),
        ("queued", format!("{}, {}", count(stats.queue_entries), size(stats.queue_bytes))),
        ("remembered", format!("{} deletes", count(stats.tombstones))),
        ("peers", format!("{} others; at most {} hop", stats.peers, stats.max_hops)),
    ];
    let mut text = rows.map(|(name, value)| format!("{name:<12}{value}")).join("\n");
    if !stats.unreachable.is_empty() {
        let _ = write!(text, "\nunreachable {}", stats.unreachable.join(", "));
    }
    text
}

fn whose(stats: &StatsReply) -> String {
    let up = time(Duration::from_millis(stats.uptime_ms));
    match stats.nodes_summed {
        0 | 1 => format!("{} at {}, up {up}", stats.group, stats.node),
        nodes => format!("{}, {nodes} nodes summed", stats.group),
    }
}

fn hit_rate(stats: &StatsReply) -> String {
    let hits = stats.hits_local + stats.hits_peer + stats.hits_hot;
    let gets = hits + stats.misses;
    format!("{} of {} gets", percent(hits, gets), count(gets))
}

fn hits(stats: &StatsReply) -> String {
    let [local, peer, hot] = [stats.hits_local, stats.hits_peer, stats.hits_hot].map(count);
    format!("{local} local, {peer} peer, {hot} hot copies")
}

fn loads(stats: &StatsReply) -> String {
    let [loads, failed, shared] = [stats.loads, stats.load_errors, stats.loads_shared].map(count);
    let mut text = loads;
    if stats.loads > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let mean = Duration::try_from_secs_f64(stats.load_seconds / stats.loads as f64);
        let _ = write!(text, ", {} each", time(mean.unwrap_or_default()));
    }
    let _ = write!(text, "; {failed} failed, {shared} shared");
    text
}

fn writes(stats: &StatsReply) -> String {
    let [sets, deletes, clears] = [stats.sets, stats.deletes, stats.clears].map(count);
    format!(
        "{sets} set, {deletes} deleted, {clears} cleared; {} refused as old",
        count(stats.refused_old)
    )
}

fn sync(stats: &StatsReply) -> String {
    let [ok, failed, dropped] =
        [stats.sync_acknowledged, stats.sync_failed, stats.sync_dropped].map(count);
    format!("{}: {ok} acknowledged, {failed} failed, {dropped} dropped", stats.strategy)
}
