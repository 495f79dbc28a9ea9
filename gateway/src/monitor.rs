//! What the monitoring pages show.

use std::time::{Duration, SystemTime};

use kamaitachi_layers::circuit_breaker::Circuit;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{cluster::Cluster, config::NodeAddr};

/// One breaker, as clients of the monitoring pages read it.
#[derive(Debug, Serialize)]
struct BreakerPage<'a> {
    name: &'a str,
    state: &'static str,
    requests: u32,
    successes: u32,
    failures: u32,
    failure_rate: f64,
    consecutive_successes: u32,
    consecutive_fails: u32,
    state_changed_at: String,
}

/// When a gateway began, on both clocks: breakers count on the one, pages show the other.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    at: Instant,
    wall: SystemTime,
}

impl Started {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }

    /// How long ago that is.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// A moment since then in the form `2026-01-31T12:00:00.000Z`.
    fn text(&self, moment: Option<std::time::Instant>) -> String {
        let since = moment
            .map_or(Duration::ZERO, |moment| moment.saturating_duration_since(self.at.into_std()));
        humantime::format_rfc3339_millis(self.wall + since).to_string()
    }
}

/// Every breaker under its name.
#[must_use]
pub fn breakers(circuits: &[Circuit], started: &Started) -> Value {
    let page = |circuit: &Circuit| {
        let now = circuit.snapshot();
        let page = BreakerPage {
            name: circuit.name(),
            state: now.state.as_str(),
            requests: now.requests,
            successes: now.successes,
            failures: now.failures,
            failure_rate: now.failure_rate,
            consecutive_successes: now.consecutive_successes,
            consecutive_fails: now.consecutive_fails,
            state_changed_at: started.text(now.state_changed_at),
        };
        (circuit.name().to_string(), serde_json::to_value(page).unwrap_or_default())
    };
    Value::Object(circuits.iter().map(page).collect::<Map<_, _>>())
}

/// The gateway, its nodes and its breakers.
#[must_use]
pub fn status(cluster: &Cluster, started: &Started) -> Value {
    let page = |addr: &NodeAddr, role: &str| {
        let node = cluster.node(addr);
        let in_flight = node.totals().in_flight;
        json!({"node": addr.as_str(), "role": role, "up": node.health().is_up(), "in_flight": in_flight})
    };
    let members = cluster.members();
    let members = members.iter().map(|addr| page(addr, "slave"));
    let master = cluster.master();
    let nodes: Vec<_> = members.chain(master.iter().map(|addr| page(addr, "master"))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": started.text(None),
        "uptime_seconds": started.elapsed().as_secs(),
        "nodes": nodes,
        "circuit_breakers": breakers(&cluster.circuits(), started),
    })
}

/// In the envelope of data management.
#[must_use]
pub fn envelope(data: &Value) -> String {
    format!(r#"{{"code":200,"message":"success","data":{data}}}"#)
}
