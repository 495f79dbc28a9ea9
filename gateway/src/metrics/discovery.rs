//! How current the nodes are that requests go to.

use std::{fmt::Error, time::UNIX_EPOCH};

use kamaitachi_discovery::{Found, Health};
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType};

use super::collect::{All, counter, gauge};

impl All {
    pub(super) fn discovery(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let upstreams = self.cluster.upstreams();
        let healths = [("slaves", &upstreams.slaves), ("master", &upstreams.master)]
            .map(|(nodes, found): (_, &Found)| (nodes, found.health()));
        let help = "Changes of the ring's members";
        let mut family =
            encoder.encode_descriptor("ring_epoch", help, None, MetricType::Counter)?;
        counter(&mut family, &[], healths[0].1.epoch)?;
        let help = "When the nodes were last seen to be right; 0 is never";
        let name = "discovery_last_sync_timestamp_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (nodes, health) in &healths {
            let synced = health.synced.and_then(|synced| synced.duration_since(UNIX_EPOCH).ok());
            let seconds = i64::try_from(synced.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
            let labels = [("nodes", *nodes), ("source", health.origin.as_str())];
            gauge(&mut family, &labels, seconds)?;
        }
        let help =
            "Nodes that say they take writes; of more than one, the first by its address does";
        let mut family = encoder.encode_descriptor("masters", help, None, MetricType::Gauge)?;
        let masters = upstreams.master.now().len();
        gauge(&mut family, &[], i64::try_from(masters).unwrap_or(i64::MAX))?;
        type Level = fn(&Health) -> i64;
        let levels: [(&str, &str, Level); 2] = [
            ("discovery_connected", "Whether the source of nodes answers", |h| h.connected.into()),
            ("discovery_held", "Nodes kept though the source does not list them", |h| {
                i64::try_from(h.held).unwrap_or(i64::MAX)
            }),
        ];
        for (name, help, level) in levels {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (nodes, health) in &healths {
                gauge(&mut family, &[("nodes", nodes)], level(health))?;
            }
        }
        type Count = fn(&Health) -> u64;
        let counts: [(&str, &str, Count); 2] = [
            ("discovery_refused", "Registrations refused", |health| health.refused),
            ("discovery_holds", "Losses of nodes that were not believed at once", |h| h.holds),
        ];
        for (name, help, count) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (nodes, health) in &healths {
                counter(&mut family, &[("nodes", nodes)], count(health))?;
            }
        }
        Ok(())
    }
}
