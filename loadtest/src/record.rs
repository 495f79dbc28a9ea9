//! What came back, kept in bounded memory: HDR histograms in microseconds, counts over time.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::timeline::Timeline;

/// Longest latency that is told apart: one hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered 200, and rightly so where answers are checked.
    Right,
    /// Answered with another status.
    Status(u16),
    /// Answered 200 with a wrong answer.
    Wrong,
    /// The connection could not be made.
    Connect,
    /// The connection broke before the answer was whole.
    Broken,
    /// No answer in time.
    TimedOut,
}

impl Outcome {
    /// The name under which reports count it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Right => "right".to_owned(),
            Self::Status(code) => format!("status {code}"),
            Self::Wrong => "wrong answer".to_owned(),
            Self::Connect => "connection failed".to_owned(),
            Self::Broken => "connection broke".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
        }
    }
}

/// The measurements of one connection; merged at the end of a run.
#[derive(Clone, Debug)]
pub struct Record {
    /// From the intended start to the end of the answer, microseconds.
    pub latency: Histogram<u64>,
    /// From the actual start, microseconds; the same in a closed loop.
    pub service: Histogram<u64>,
    /// How late requests started, microseconds (open loop).
    pub lag: Histogram<u64>,
    /// Answers over the run.
    pub timeline: Timeline,
    /// Requests by what became of them.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Bytes of answers' bodies.
    pub bytes: u64,
    /// The first wrong answers, in words.
    pub wrong: Vec<String>,
}

impl Default for Record {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, 3).expect("1 to an hour with 3 digits is valid")
        };
        Self {
            latency: histogram(),
            service: histogram(),
            lag: histogram(),
            timeline: Timeline::default(),
            outcomes: BTreeMap::new(),
            bytes: 0,
            wrong: Vec::new(),
        }
    }
}

/// The times of one request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the intended start to the end of the answer.
    pub latency: Duration,
    /// From the actual start to the end of the answer.
    pub service: Duration,
    /// From the run's start to the end of the answer.
    pub at: Duration,
}

impl Record {
    /// Counts one request.
    pub fn add(&mut self, outcome: Outcome, times: Times, bytes: u64) {
        self.latency.saturating_record(micros(times.latency));
        self.service.saturating_record(micros(times.service));
        self.lag.saturating_record(micros(times.latency.saturating_sub(times.service)));
        *self.outcomes.entry(outcome).or_default() += 1;
        self.bytes += bytes;
        self.timeline.add(times.at, outcome != Outcome::Right);
    }

    /// Keeps the words of a wrong answer, the first ten of each connection.
    pub fn explain(&mut self, why: String) {
        if self.wrong.len() < 10 {
            self.wrong.push(why);
        }
    }

    /// Adds another connection's measurements.
    ///
    /// # Panics
    /// Never: all histograms have the bounds of [`Record::default`].
    pub fn merge(&mut self, other: Self) {
        let same = "both have the same bounds";
        self.latency.add(&other.latency).expect(same);
        self.service.add(&other.service).expect(same);
        self.lag.add(&other.lag).expect(same);
        self.timeline.merge(other.timeline);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.bytes += other.bytes;
        self.wrong.extend(other.wrong);
        self.wrong.truncate(10);
    }

    /// Requests that were answered or given up.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Requests without a right answer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.total() - self.outcomes.get(&Outcome::Right).copied().unwrap_or(0)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(ms: u64) -> Times {
        let latency = Duration::from_millis(ms);
        Times { latency, service: latency / 2, at: latency }
    }

    #[test]
    fn merging_loses_nothing() {
        let (mut a, mut b) = (Record::default(), Record::default());
        a.add(Outcome::Right, times(10), 5);
        b.add(Outcome::Status(503), times(3000), 7);
        a.merge(b);
        assert_eq!((a.total(), a.failed(), a.bytes), (2, 1, 12));
        assert_eq!((a.timeline.slots.len(), a.timeline.slots[30]), (31, [1, 1]));
    }

    proptest! {
        #[test]
        fn the_mean_lies_within_the_histogram(ms in prop::collection::vec(0u64..5_000_000, 1..50)) {
            let mut record = Record::default();
            for ms in ms {
                record.add(Outcome::Right, times(ms), 0);
            }
            let mean = record.latency.mean();
            let (low, high) = (record.latency.min(), record.latency.max());
            prop_assert!(low as f64 * 0.999 <= mean && mean <= high as f64 * 1.001);
        }
    }
}
