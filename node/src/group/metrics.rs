//! What the groups of a process tell Prometheus.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{
    PeerState, Peers,
    counters::{Counters, LOAD_BOUNDS},
    peers::Shared,
    proto::StatsReply,
    served::Served,
};

/// All groups that have joined a [`Peers`], and the peers themselves. Register it once:
///
/// ```
/// # use kamaitachi_node::group::{Peers, PeersCollector};
/// # fn example(peers: &Peers) {
/// let mut registry = prometheus_client::registry::Registry::default();
/// registry.register_collector(Box::new(PeersCollector::new(peers)));
/// # }
/// ```
#[derive(Debug)]
pub struct PeersCollector {
    shared: Arc<Shared>,
}

/// Name, help, kind, and where it is found.
type Number = (&'static str, &'static str, MetricType, fn(&StatsReply) -> u64);

/// The counters and levels of a group that have no label but its name.
const NUMBERS: [Number; 13] = {
    use MetricType::{Counter, Gauge};
    [
        (
            "misses",
            "Gets that no cache answered: loaded, here or by the owner, or nowhere.",
            Counter,
            |stats| stats.misses,
        ),
        ("loads_shared", "Callers who got the outcome of another's load.", Counter, |stats| {
            stats.loads_shared
        }),
        ("evictions", "Entries that had to make room.", Counter, |stats| stats.evictions),
        ("expired", "Entries found past their time.", Counter, |stats| stats.expired),
        ("sets", "Sets made at this peer.", Counter, |stats| stats.sets),
        ("deletes", "Deletes made at this peer.", Counter, |stats| stats.deletes),
        ("clears", "Clears made at this peer.", Counter, |stats| stats.clears),
        ("entries", "Entries held.", Gauge, |stats| stats.entries),
        ("bytes", "Bytes they take.", Gauge, |stats| stats.bytes),
        ("max_bytes", "Bytes they may take.", Gauge, |stats| stats.max_bytes),
        ("tombstones", "Deletes remembered.", Gauge, |stats| stats.tombstones),
        ("hot_bytes", "Bytes of copies of hot keys.", Gauge, |stats| stats.hot_bytes),
        ("hops", "The most peers any request had passed.", Gauge, |stats| stats.max_hops),
    ]
};

impl PeersCollector {
    /// The collector of these peers and their groups. It does not keep them alive.
    #[must_use]
    pub fn new(peers: &Peers) -> Self {
        Self { shared: Arc::clone(peers.shared()) }
    }
}

impl Collector for PeersCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.shared.groups();
        let stats: Vec<StatsReply> = groups.iter().map(|group| group.stats()).collect();
        for (name, help, kind, value) in NUMBERS {
            let of_group =
                stats.iter().map(|stats| ([("group", stats.group.as_str())], value(stats)));
            family(&mut encoder, name, help, kind, of_group)?;
        }
        labelled(&mut encoder, &groups, &stats)?;
        loads(&mut encoder, &groups)?;
        self.peers(&mut encoder)
    }
}

impl PeersCollector {
    fn peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.shared.view();
        let peers: Vec<_> = view.links().map(|link| link.info()).collect();
        let states =
            [("new", PeerState::New), ("alive", PeerState::Alive), ("ejected", PeerState::Ejected)];
        let counts = states.map(|(name, state)| {
            ([("state", name)], peers.iter().filter(|peer| peer.state == state).count() as u64)
        });
        let gauge = MetricType::Gauge;
        family(encoder, "peers", "Other peers, by what is thought of them.", gauge, counts)?;
        type Part = fn(&super::PeerInfo) -> u64;
        let parts: [(&str, &str, MetricType, Part); 4] = [
            ("peer_sync_queue", "Writes that wait for a peer.", gauge, |peer| peer.queue.0 as u64),
            ("peer_sync_queue_bytes", "Bytes that wait for a peer.", gauge, |peer| {
                peer.queue.1 as u64
            }),
            (
                "peer_sync_dropped",
                "Writes dropped, the queue being full.",
                MetricType::Counter,
                |peer| peer.dropped,
            ),
            ("peer_sync_failures", "Messages a peer did not take.", MetricType::Counter, |peer| {
                peer.failed
            }),
        ];
        for (name, help, kind, part) in parts {
            let of_peer = peers.iter().map(|peer| ([("peer", &*peer.addr)], part(peer)));
            family(encoder, name, help, kind, of_peer)?;
        }
        let differed = [([("kind", "view")], self.shared.views_differed())];
        let help = "Requests of peers that see other members.";
        family(encoder, "peers_differed", help, MetricType::Counter, differed)
    }
}

/// One metric with its labels; `kamaitachi_group_` goes before its name.
fn family<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl IntoIterator<Item = ([(&'static str, impl AsRef<str>); N], u64)>,
) -> fmt::Result {
    let name = format!("kamaitachi_group_{name}");
    let counts = matches!(kind, MetricType::Counter);
    let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
    for (labels, value) in values {
        let labels = labels.each_ref().map(|(label, value)| (*label, value.as_ref()));
        let mut metric = family.encode_family(&labels)?;
        if counts {
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        } else {
            metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
        }
    }
    Ok(())
}

/// What differs in more than the group.
fn labelled(
    encoder: &mut DescriptorEncoder<'_>,
    groups: &[Arc<dyn Served>],
    stats: &[StatsReply],
) -> fmt::Result {
    let counter = MetricType::Counter;
    let hits = stats.iter().flat_map(|stats| {
        let by = [("local", stats.hits_local), ("peer", stats.hits_peer), ("hot", stats.hits_hot)];
        by.map(|(source, hits)| ([("group", stats.group.as_str()), ("source", source)], hits))
    });
    family(
        encoder,
        "hits",
        "Gets that a cache answered: this peer's, the owner's, or a copy of a hot key.",
        counter,
        hits,
    )?;
    let counter = MetricType::Counter;
    let synced = stats.iter().flat_map(|stats| {
        let by = [
            ("acknowledged", stats.sync_acknowledged),
            ("failed", stats.sync_failed),
            ("dropped", stats.sync_dropped),
        ];
        by.map(|(outcome, writes)| {
            let group = ("group", stats.group.as_str());
            ([group, ("strategy", stats.strategy.as_str()), ("outcome", outcome)], writes)
        })
    });
    family(encoder, "peer_sync", "Writes taken to peers, by outcome.", counter, synced)?;
    let counter = MetricType::Counter;
    let refused = groups.iter().flat_map(|group| {
        let counters = group.counters();
        let by = [
            ("old", &counters.refused_old),
            ("forgotten", &counters.refused_forgotten),
            ("other", &counters.refused_other),
        ];
        by.map(|(reason, count)| {
            ([("group", &**group.name()), ("reason", reason)], count.load(Relaxed))
        })
    });
    family(encoder, "refused", "Writes of peers refused, by reason.", counter, refused)?;
    let counter = MetricType::Counter;
    let beside = groups.iter().flat_map(|group| {
        let counters = group.counters();
        let by = [
            ("fallback", &counters.fallbacks),
            ("refresh", &counters.refreshes),
            ("discarded", &counters.loads_discarded),
            ("failed", &counters.load_errors),
        ];
        by.map(|(kind, count)| ([("group", &**group.name()), ("kind", kind)], count.load(Relaxed)))
    });
    let counter_of_hops = groups.iter().flat_map(|group| {
        let hops = ["0", "1", "more"].into_iter().zip(&group.counters().hops);
        hops.map(|(hops, count)| {
            ([("group", &**group.name()), ("hops", hops)], count.load(Relaxed))
        })
    });
    let help = "Requests, and writes of peers, by how many peers they had passed.";
    family(encoder, "requests", help, MetricType::Counter, counter_of_hops)?;
    let help = "Loads that were special: for an owner that did not answer, ahead of an end, \
                overtaken by a write, failed.";
    family(encoder, "loads_special", help, counter, beside)
}

fn loads(encoder: &mut DescriptorEncoder<'_>, groups: &[Arc<dyn Served>]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "kamaitachi_group_load_duration",
        "What the loader took.",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for group in groups {
        let counters: &Counters = group.counters();
        let filled = counters.load_buckets.iter().map(|bucket| bucket.load(Relaxed));
        let bounds = LOAD_BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(filled).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(counters.load_nanos.load(Relaxed)).as_secs_f64();
        family
            .encode_family(&[("group", &**group.name())])?
            .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
    }
    Ok(())
}
