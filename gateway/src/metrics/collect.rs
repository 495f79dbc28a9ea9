//! What a scrape gathers.

use std::{
    fmt::Error,
    sync::{Arc, Weak},
};

use kamaitachi_policies::{breaker::State, ring::Ring};
use kamaitachi_serve::limits::{Phase, Refused};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{Metrics, counts::BOUNDS, hedges::Outcome, scattered};
use crate::{
    cluster::Cluster,
    config::NodeAddr,
    reason::Reason,
    upstream::{Closed, Ejected, Node, Totals},
};

type Labels<'a> = [(&'static str, &'a str)];

/// Gathers everything.
#[derive(Debug)]
pub(super) struct All {
    pub(super) metrics: Weak<Metrics>,
    pub(super) cluster: Arc<Cluster>,
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.requests(&mut encoder)?;
        self.limits(&mut encoder)?;
        self.hedges(&mut encoder)?;
        self.scattered(&mut encoder)?;
        self.nodes(&mut encoder)?;
        self.discovery(&mut encoder)?;
        self.connections(&mut encoder)?;
        let mut info =
            encoder.encode_descriptor("build", "What is running", None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))].as_slice())
    }
}

impl All {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(metrics) = self.metrics.upgrade() else { return Ok(()) };
        let help = "Requests answered, by who or what decided the status";
        let mut family =
            encoder.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
        for (route, sum) in metrics.sums() {
            for (method, code, reason, n) in sum.requests() {
                let labels = [
                    ("route", &**route),
                    ("method", method),
                    ("code", &code),
                    ("reason", reason.as_str()),
                ];
                counter(&mut family, &labels, n)?;
            }
        }
        let help = "Seconds from a request's head to its answer's head";
        let name = "gateway_request_duration_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (route, sum) in metrics.sums() {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(sum.buckets).collect();
            let count = sum.buckets.iter().sum();
            let labels: &Labels<'_> = &[("route", route)];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                sum.seconds(),
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn hedges(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(metrics) = self.metrics.upgrade() else { return Ok(()) };
        let help = "Late answers, by what became of them";
        let mut family = encoder.encode_descriptor("hedges", help, None, MetricType::Counter)?;
        for route in &metrics.routes {
            for outcome in Outcome::ALL {
                let labels = [("route", &*route.name), ("outcome", outcome.name())];
                counter(&mut family, &labels, route.hedges.get(outcome))?;
            }
        }
        Ok(())
    }

    fn scattered(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(metrics) = self.metrics.upgrade() else { return Ok(()) };
        let help = "Questions split by the owners of their subjects, by how they were answered";
        let mut family =
            encoder.encode_descriptor("scatter_splits", help, None, MetricType::Counter)?;
        for route in &metrics.routes {
            for outcome in scattered::Outcome::ALL {
                let labels = [("route", &*route.name), ("outcome", outcome.name())];
                counter(&mut family, &labels, route.scattered.get(outcome))?;
            }
        }
        let help = "Parts of questions that were split";
        let mut family =
            encoder.encode_descriptor("scatter_parts", help, None, MetricType::Counter)?;
        for route in &metrics.routes {
            counter(&mut family, &[("route", &route.name)], route.scattered.parts())?;
        }
        let help = "Parts that another node answered, in the place of the owner of their subjects";
        let name = "scatter_parts_elsewhere";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for route in &metrics.routes {
            counter(&mut family, &[("route", &route.name)], route.scattered.elsewhere())?;
        }
        Ok(())
    }

    fn ejections(encoder: &mut DescriptorEncoder<'_>, nodes: &[Arc<Node>]) -> Result<(), Error> {
        let help = "Times that a node was left alone for what it did to requests";
        let mut family =
            encoder.encode_descriptor("node_ejections", help, None, MetricType::Counter)?;
        for node in nodes {
            for (why, n) in Ejected::ALL.into_iter().zip(node.health().ejections()) {
                counter(&mut family, &[("node", node.name()), ("reason", why.name())], n)?;
            }
        }
        Ok(())
    }

    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(metrics) = self.metrics.upgrade() else { return Ok(()) };
        let help = "Requests refused by a rate limit";
        let mut family =
            encoder.encode_descriptor("ratelimit_refused", help, None, MetricType::Counter)?;
        for (route, sum) in metrics.sums() {
            counter(&mut family, &[("limit", route)], sum.with_reason(Reason::RateLimited))?;
        }
        Ok(())
    }

    fn nodes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Breakers: 0 closed, 1 half-open, 2 open";
        let mut family =
            encoder.encode_descriptor("breaker_state", help, None, MetricType::Gauge)?;
        for circuit in self.cluster.circuits() {
            let state = match circuit.snapshot().state {
                State::Closed => 0,
                State::HalfOpen => 1,
                State::Open => 2,
            };
            gauge(&mut family, &[("breaker", circuit.name())], state)?;
        }
        let help = "Whether a node passes its health checks";
        let mut family = encoder.encode_descriptor("node_up", help, None, MetricType::Gauge)?;
        let nodes = self.cluster.nodes();
        for node in &nodes {
            let up = i64::from(node.health().is_up());
            gauge(&mut family, &[("node", node.name())], up)?;
        }
        let help = "Requests under way to a node";
        let mut family =
            encoder.encode_descriptor("upstream_inflight", help, None, MetricType::Gauge)?;
        for node in &nodes {
            let n = i64::try_from(node.totals().in_flight).unwrap_or(i64::MAX);
            gauge(&mut family, &[("node", node.name())], n)?;
        }
        Self::ejections(encoder, &nodes)?;
        upstream_connections(encoder, &nodes)?;
        self.ring(encoder)
    }

    fn ring(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let nodes = self.cluster.members();
        let help = "Nodes on the ring";
        let mut family =
            encoder.encode_descriptor("ring_members", help, None, MetricType::Gauge)?;
        gauge(&mut family, &[], i64::try_from(nodes.len()).unwrap_or(i64::MAX))?;
        let ring = self.cluster.ring();
        let ring = Ring::new(nodes.iter().map(NodeAddr::as_str), ring.replicas, ring.spread);
        let help = "A node's part of all keys, against an even share";
        let mut family =
            encoder.encode_descriptor("ring_share_ratio", help, None, MetricType::Gauge)?;
        for name in ring.nodes() {
            let Some(index) = ring.index_of(name) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "there are at most thousands of nodes")]
            let ratio = ring.share(index) * ring.len() as f64;
            let labels: &Labels<'_> = &[("node", name)];
            family.encode_family(&labels)?.encode_gauge(&ratio)?;
        }
        Ok(())
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(metrics) = self.metrics.upgrade() else { return Ok(()) };
        let Some(server) = metrics.server.get() else { return Ok(()) };
        let help = "Connections of clients";
        let mut family =
            encoder.encode_descriptor("connections_open", help, None, MetricType::Gauge)?;
        gauge(&mut family, &[], i64::try_from(server.open()).unwrap_or(i64::MAX))?;
        let help = "Connections accepted";
        let mut family =
            encoder.encode_descriptor("connections_accepted", help, None, MetricType::Counter)?;
        counter(&mut family, &[], server.accepted())?;
        let help = "Failures to accept a connection";
        let mut family =
            encoder.encode_descriptor("accept_errors", help, None, MetricType::Counter)?;
        counter(&mut family, &[], server.accept_errors())?;
        let help = "Connections refused";
        let mut family =
            encoder.encode_descriptor("connections_refused", help, None, MetricType::Counter)?;
        for reason in Refused::ALL {
            counter(&mut family, &[("reason", reason.label())], server.refused(reason))?;
        }
        let help = "Connections closed on clients that were too slow";
        let mut family =
            encoder.encode_descriptor("connections_timed_out", help, None, MetricType::Counter)?;
        for phase in Phase::ALL {
            counter(&mut family, &[("phase", phase.label())], server.timed_out(phase))?;
        }
        Ok(())
    }
}

type Count = fn(&Totals) -> u64;

fn upstream_connections(
    encoder: &mut DescriptorEncoder<'_>,
    nodes: &[Arc<Node>],
) -> Result<(), Error> {
    let counts: [(&str, &str, Count); 4] = [
        ("upstream_tries", "Requests sent to a node, second tries included", |t| t.tries),
        ("upstream_connections_opened", "Connections opened to a node", |t| t.opened),
        ("upstream_requests_reused", "Requests on a kept connection", |t| t.reused),
        ("upstream_requests_replaced", "Requests sent again for a dead one", |t| t.replaced),
    ];
    for (name, help, count) in counts {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for node in nodes {
            counter(&mut family, &[("node", node.name())], count(&node.totals()))?;
        }
    }
    let (name, help) = ("upstream_connections_closed", "Connections to a node closed");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for node in nodes {
        let totals = node.totals();
        for (why, n) in Closed::ALL.into_iter().zip(totals.closed) {
            counter(&mut family, &[("node", node.name()), ("reason", why.name())], n)?;
        }
    }
    Ok(())
}

pub(super) fn counter(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    n: u64,
) -> Result<(), Error> {
    if labels.is_empty() {
        return family.encode_counter::<NoLabelSet, _, u64>(&n, None);
    }
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&n, None)
}

pub(super) fn gauge(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    n: i64,
) -> Result<(), Error> {
    if labels.is_empty() {
        return family.encode_gauge(&n);
    }
    family.encode_family(&labels)?.encode_gauge(&n)
}
