//! What a node counts of its requests, and how it tells Prometheus.
//!
//! Everything counted per request is a plain atomic at a fixed place: no map, no label is looked
//! up while a request is answered.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::routes::Endpoint;

/// Upper bounds of the buckets of durations, in seconds.
const BOUNDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
const BOUNDS_NANOS: [u64; 12] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// The statuses a node answers with; anything else counts under the last.
const STATUSES: [u16; 15] =
    [200, 204, 400, 404, 405, 408, 413, 415, 421, 500, 502, 503, 504, 507, 0];

/// Requests by endpoint and status, and how long they took.
#[derive(Debug)]
pub struct Requests {
    by_endpoint: Vec<PerEndpoint>,
    unrouted: PerEndpoint,
    /// Panics that were caught.
    pub panics: AtomicU64,
}

#[derive(Debug, Default)]
struct PerEndpoint {
    statuses: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl PerEndpoint {
    fn count(&self, status: StatusCode, took: Duration) {
        let status = status.as_u16();
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.statuses[at].fetch_add(1, Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            by_endpoint: Endpoint::ALL.iter().map(|_| PerEndpoint::default()).collect(),
            unrouted: PerEndpoint::default(),
            panics: AtomicU64::new(0),
        }
    }
}

impl Requests {
    /// Counts one answered request; `None` is one that matched no endpoint.
    pub fn count(&self, endpoint: Option<Endpoint>, status: StatusCode, took: Duration) {
        let place = endpoint.and_then(|endpoint| self.by_endpoint.get(endpoint as usize));
        place.unwrap_or(&self.unrouted).count(status, took);
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &PerEndpoint)> {
        let names = Endpoint::ALL.iter().map(|endpoint| endpoint.name());
        names.zip(&self.by_endpoint).chain([("unrouted", &self.unrouted)])
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "kamaitachi_node_requests",
            "Requests answered, by endpoint and status.",
            None,
            MetricType::Counter,
        )?;
        for (endpoint, counts) in self.each() {
            for (status, count) in STATUSES.iter().zip(&counts.statuses) {
                let count = count.load(Relaxed);
                if count != 0 {
                    let status = if *status == 0 { "other".into() } else { status.to_string() };
                    let labels = [("endpoint", endpoint), ("code", status.as_str())];
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "kamaitachi_node_request_duration",
            "From the head of a request to its answer, by endpoint.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (endpoint, counts) in self.each() {
            let filled = counts.buckets.iter().map(|bucket| bucket.load(Relaxed));
            let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(filled).collect();
            let count: u64 = buckets.iter().map(|(_, count)| count).sum();
            if count != 0 {
                let seconds = Duration::from_nanos(counts.nanos.load(Relaxed)).as_secs_f64();
                family
                    .encode_family(&[("endpoint", endpoint)])?
                    .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
            }
        }
        encoder
            .encode_descriptor(
                "kamaitachi_node_panics",
                "Requests that panicked and were answered with 500.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&self.panics.load(Relaxed), None)
    }
}

/// One number of a [`Collector`], without labels.
///
/// # Errors
/// If the encoder's buffer refuses to grow.
pub fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// Numbers of a [`Collector`] that differ in one label.
///
/// # Errors
/// If the encoder's buffer refuses to grow.
pub fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &'static str,
    values: [(&'static str, u64); N],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    values.iter().try_for_each(|(value, count)| {
        let labels = [(label, *value)];
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)
    })
}

/// One level of a [`Collector`], without labels.
///
/// # Errors
/// If the encoder's buffer refuses to grow.
pub fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests {
    use kamaitachi_serve::exposition::Exposition;
    use prometheus_client::registry::Registry;

    use super::*;

    fn counted() -> Registry {
        let requests = Requests::default();
        let took = Duration::from_micros(80);
        requests.count(Some(Endpoint::Snapshot), StatusCode::OK, took);
        requests.count(Some(Endpoint::Snapshot), StatusCode::OK, Duration::from_secs(60));
        requests.count(Some(Endpoint::OpenApi), StatusCode::IM_A_TEAPOT, took);
        requests.count(None, StatusCode::NOT_FOUND, took);
        let mut registry = Registry::default();
        let build = prometheus_client::metrics::info::Info::new([("version", "1")]);
        registry.register("build", "What runs here", build);
        registry.register_collector(Box::new(requests));
        registry
    }

    #[test]
    fn requests_are_told_by_endpoint_and_status() {
        let text = Exposition::OpenMetrics.render(&counted()).unwrap();
        for line in [
            "# TYPE kamaitachi_node_requests counter",
            r#"kamaitachi_node_requests_total{endpoint="snapshot",code="200"} 2"#,
            r#"kamaitachi_node_requests_total{endpoint="openapi",code="other"} 1"#,
            r#"kamaitachi_node_requests_total{endpoint="unrouted",code="404"} 1"#,
            r#"kamaitachi_node_request_duration_seconds_bucket{le="0.0001",endpoint="snapshot"} 1"#,
            r#"kamaitachi_node_request_duration_seconds_bucket{le="5.0",endpoint="snapshot"} 1"#,
            r#"kamaitachi_node_request_duration_seconds_bucket{le="+Inf",endpoint="snapshot"} 2"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|given| given == line), "{line} is not in\n{text}");
        }
    }
}
