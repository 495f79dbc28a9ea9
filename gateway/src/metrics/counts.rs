//! The counts of one route on one worker: plain numbers that are found by index, never by name.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::{Method, StatusCode};

use crate::reason::Reason;

/// Upper bounds of the histogram's buckets, in seconds: from a cached answer to the longest time-out.
pub(super) const BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The statuses that are counted one by one; any other is counted by its class.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 412, 413,
    415, 421, 422, 429, 500, 501, 502, 503, 504,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// Statuses that nodes gave, then their classes, then the reasons of the gateway's own answers.
const OUTCOMES: usize = STATUSES.len() + CLASSES.len() + Reason::ALL.len();

/// The numbers of one route on one worker.
#[derive(Debug)]
pub(super) struct Counts {
    requests: [[AtomicU64; OUTCOMES]; METHODS.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            micros: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// Counts one answered request.
    pub(super) fn add(&self, method: Verb, status: StatusCode, reason: Reason, took: Duration) {
        self.requests[method.0][outcome(status, reason)].fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds what is counted here to `sum`.
    pub(super) fn add_to(&self, sum: &mut Sum) {
        let here = self.requests.iter().flatten();
        sum.requests.iter_mut().zip(here).for_each(|(sum, n)| *sum += n.load(Relaxed));
        sum.buckets.iter_mut().zip(&self.buckets).for_each(|(sum, n)| *sum += n.load(Relaxed));
        sum.micros += self.micros.load(Relaxed);
    }
}

/// The numbers of one route on all workers.
#[derive(Debug)]
pub(super) struct Sum {
    requests: Vec<u64>,
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            requests: vec![0; OUTCOMES * METHODS.len()],
            buckets: [0; BOUNDS.len() + 1],
            micros: 0,
        }
    }
}

impl Sum {
    /// Method, code, reason and number of every kind of request that there was.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&'static str, String, Reason, u64)> {
        let seen = self.requests.iter().enumerate().filter(|(_, n)| **n > 0);
        seen.map(|(i, n)| {
            let (code, reason) = labels(i % OUTCOMES);
            (METHODS[i / OUTCOMES], code, reason, *n)
        })
    }

    /// How many requests had this reason.
    pub(super) fn with_reason(&self, reason: Reason) -> u64 {
        self.requests().filter(|(_, _, other, _)| *other == reason).map(|(.., n)| n).sum()
    }

    /// Seconds that all requests took together.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64()
    }
}

/// A method as a place in the counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb(usize);

impl From<&Method> for Verb {
    fn from(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::PATCH => 4,
            Method::DELETE => 5,
            Method::OPTIONS => 6,
            _ => 7,
        })
    }
}

fn outcome(status: StatusCode, reason: Reason) -> usize {
    if reason != Reason::Answered {
        return STATUSES.len() + CLASSES.len() + reason as usize;
    }
    let status = status.as_u16();
    STATUSES
        .binary_search(&status)
        .unwrap_or_else(|_| STATUSES.len() + usize::from(status / 100).clamp(1, CLASSES.len()) - 1)
}

fn labels(outcome: usize) -> (String, Reason) {
    let own = STATUSES.len() + CLASSES.len();
    if let Some(status) = STATUSES.get(outcome) {
        return (status.to_string(), Reason::Answered);
    }
    match Reason::ALL.get(outcome.wrapping_sub(own)) {
        Some(reason) => {
            // Nobody was answered: the code that proxies have for this.
            (reason.status().map_or(499, |status| status.as_u16()).to_string(), *reason)
        }
        None => (CLASSES[outcome - STATUSES.len()].to_owned(), Reason::Answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(status: u16, reason: Reason) -> (String, Reason, u64) {
        let counts = Counts::default();
        let status = StatusCode::from_u16(status).unwrap();
        counts.add((&Method::POST).into(), status, reason, Duration::from_millis(3));
        let mut sum = Sum::default();
        counts.add_to(&mut sum);
        counts.add_to(&mut sum);
        let all: Vec<_> = sum.requests().collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, "POST");
        (all[0].1.clone(), all[0].2, all[0].3)
    }

    #[test]
    fn every_outcome_is_counted_under_its_own_labels() {
        assert_eq!(counted(200, Reason::Answered), ("200".to_owned(), Reason::Answered, 2));
        assert_eq!(counted(504, Reason::Answered), ("504".to_owned(), Reason::Answered, 2));
        assert_eq!(counted(418, Reason::Answered), ("4xx".to_owned(), Reason::Answered, 2));
        assert_eq!(counted(999, Reason::Answered), ("5xx".to_owned(), Reason::Answered, 2));
        for reason in Reason::ALL {
            if let Some(status) = reason.status() {
                let counted = counted(status.as_u16(), reason);
                assert_eq!(counted, (status.as_u16().to_string(), reason, 2));
            }
        }
    }

    #[test]
    fn reasons_stand_in_the_order_of_their_numbers() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
        assert!(STATUSES.is_sorted());
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let counts = Counts::default();
        for micros in [500, 501, 30_000_001] {
            let took = Duration::from_micros(micros);
            counts.add((&Method::GET).into(), StatusCode::OK, Reason::Answered, took);
        }
        let mut sum = Sum::default();
        counts.add_to(&mut sum);
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[BOUNDS.len()]), (1, 1, 1));
        assert_eq!(sum.seconds(), 30.001_002);
    }
}
