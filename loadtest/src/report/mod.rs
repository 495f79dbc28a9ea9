//! What a measurement says, as data: printed as a table, written as JSON and HTML, compared.
//!
//! Every figure of a row comes from the same histogram, so they can't contradict each other.

pub mod compare;
pub mod html;
pub mod table;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{run::Measured, stats::Hits, timeline::Timeline};

/// Percentiles of which the plots are made.
const CURVE: [f64; 14] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];

/// In an open loop, starts later than this at the 99th percentile mean that the generator or its
/// connections were saturated: the rate was not the one asked for.
const SATURATED_LAG_US: u64 = 10_000;

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the harness.
    pub version: String,
    /// Base URLs that were measured.
    pub targets: Vec<String>,
    /// Seed of the requests.
    pub seed: u64,
    /// Whether every answer was checked.
    pub verified: bool,
    /// One row a run.
    pub rows: Vec<Row>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Short name, such as `S1 hot`.
    pub name: String,
    /// 1 to 4.
    pub scenario: u8,
    /// Requests answered or given up.
    pub requests: u64,
    /// Different requests among them.
    pub unique: u64,
    /// Connections.
    pub concurrent: u16,
    /// Requests a second asked for (open loop).
    pub rate: Option<f64>,
    /// Seconds from the first start to the last end.
    pub seconds: f64,
    /// Requests a second.
    pub qps: f64,
    /// Percentage of requests for which no node read its storage, where the cluster tells.
    pub hit_rate: Option<f64>,
    /// Requests without a right answer.
    pub errors: u64,
    /// Requests by what became of them.
    pub outcomes: BTreeMap<String, u64>,
    /// Bytes of answers.
    pub bytes: u64,
    /// From the intended start to the end of the answer.
    pub latency: Latency,
    /// From the actual start to the end of the answer.
    pub service: Latency,
    /// Why the figures must not be trusted, where they must not.
    pub invalid: Option<String>,
    /// Latency at percentiles: `[percentile, microseconds]`.
    pub curve: Vec<[f64; 2]>,
    /// Answers over the run.
    pub timeline: Timeline,
    /// The first wrong answers, in words.
    pub wrong: Vec<String>,
}

/// Figures of one histogram, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Longest.
    pub max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            min: histogram.min(),
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

/// What a row says apart from what was measured.
#[derive(Clone, Debug)]
pub struct About {
    /// Short name.
    pub name: String,
    /// 1 to 4.
    pub scenario: u8,
    /// Different requests.
    pub unique: u64,
    /// Connections.
    pub concurrent: u16,
    /// Requests a second asked for.
    pub rate: Option<f64>,
    /// The cluster's counters for the run, where it tells.
    pub hits: Option<Hits>,
}

impl Row {
    /// The row of one run.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn new(about: About, measured: Measured) -> Self {
        let Measured { record, took } = measured;
        let seconds = took.as_secs_f64();
        let lag = record.lag.value_at_quantile(0.99);
        let invalid = if record.total() == 0 {
            Some("no request was sent".to_owned())
        } else if about.rate.is_some() && lag > SATURATED_LAG_US {
            let ms = lag / 1000;
            Some(format!("generator saturated: 1 % of the requests started {ms} ms late or more"))
        } else {
            None
        };
        let micros = |percentile: f64| record.latency.value_at_percentile(percentile) as f64;
        Self {
            name: about.name,
            scenario: about.scenario,
            requests: record.total(),
            unique: about.unique.min(record.total()),
            concurrent: about.concurrent,
            rate: about.rate,
            seconds,
            qps: if seconds > 0.0 { record.total() as f64 / seconds } else { 0.0 },
            hit_rate: about.hits.and_then(Hits::rate),
            errors: record.failed(),
            outcomes: record.outcomes.iter().map(|(what, n)| (what.name(), *n)).collect(),
            bytes: record.bytes,
            latency: Latency::of(&record.latency),
            service: Latency::of(&record.service),
            invalid,
            curve: CURVE.iter().map(|&percentile| [percentile, micros(percentile)]).collect(),
            timeline: record.timeline,
            wrong: record.wrong,
        }
    }
}

impl Report {
    /// Whether every answer of every run was right.
    #[must_use]
    pub fn all_right(&self) -> bool {
        self.rows.iter().all(|row| row.errors == 0 && row.requests > 0 && row.wrong.is_empty())
    }
}
